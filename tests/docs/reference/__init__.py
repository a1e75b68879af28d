"""What makes the generated parts of the documentation: a module a page, each a function from the code to Markdown."""
