"""Supervisor: `miaosha up` starts everything of one machine in order, watches and drains it.

It plans processes, starts them, and asks them whether they live. It starts again what died or
hangs, and replaces all one by one in an upgrade. It knows roles by their command lines alone.

Reading order: `up`, `process_plan`, `child_spec`, `children`, `hang_detector`, `rolling`; then
the folders `servers` (private Valkeys and others), `edge` (nginx) and `machine` (what it allows).
"""
