"""Kit: what tests of several folders use, such as a running platform and the private servers."""
