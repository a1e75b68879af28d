"""Erases the rows of one data subject from every store, and writes a receipt. It imports every room of data below it."""
