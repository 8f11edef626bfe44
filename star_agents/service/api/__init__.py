"""The HTTP face: who may ask, what can be asked, and the page."""
