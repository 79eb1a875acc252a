// Typesets what Arithmatex has marked: \( ... \) in a line, \[ ... \] on its own.
document.querySelectorAll(".arithmatex").forEach((element) => {
  const text = element.textContent.trim()
  const displayMode = text.startsWith("\\[")
  katex.render(text.slice(2, -2), element, { displayMode, throwOnError: false })
})
