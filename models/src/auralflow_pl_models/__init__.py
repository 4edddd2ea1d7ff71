"""Pretrained models of auralflow_pl; `registry.yaml` lists them, best first."""
