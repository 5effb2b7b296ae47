"""Drawing: pages of docs/ made from the code by `make docs`; a test holds each to the code."""
