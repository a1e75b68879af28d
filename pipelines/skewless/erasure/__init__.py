"""One subject's rows removed from every store, with a receipt. It imports every room of data below it."""
