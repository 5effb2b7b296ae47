"""`miaosha up`: everything of one machine, started in order, watched, and drained in order.

It plans processes, starts them, asks them whether they live, starts again what died or hangs, and
replaces them one by one in a rolling upgrade. It knows roles by their command lines alone.

Reading order: `up`, `process_plan`, `child_spec`, `children`, `hang_detector`, `rolling`; then
the folders `servers` (private Valkeys and others), `edge` (nginx) and `machine` (what it allows).
"""
