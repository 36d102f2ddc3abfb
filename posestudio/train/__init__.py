"""Train two students from a snapshot: data -> batches, objective -> losses, loop -> steps, worker -> a run folder.

Nothing here opens the label store, draws a screen or knows who is watching. To add a way of learning, add a function
like `objective.semi_supervised` that takes students and a batch and returns named losses.
"""
