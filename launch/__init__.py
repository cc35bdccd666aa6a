"""Starting experiments: on this machine, on SLURM, on TPU pods and on Kubernetes."""
