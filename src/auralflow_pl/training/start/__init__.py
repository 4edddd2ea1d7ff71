"""How a training begins: in a claimed run folder, anew, resumed, or with the weights of a model.

May import what `training` may.
Start with `resuming.find_resume`; `resume_changes` edits a checkpoint while it is loaded, `claim`
keeps other processes out of the run folder, `warm_start` loads weights only, `freezing` keeps parts
of a network as they are, `precision` measures what `precision=auto` means.
"""
