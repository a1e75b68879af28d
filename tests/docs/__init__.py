"""The documentation: what makes its generated parts, and the tests that hold it to the code."""
