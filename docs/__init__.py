"""Documentation: the pages, and in `draw` the programs that draw some of them from the code."""
