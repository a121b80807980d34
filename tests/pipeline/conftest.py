"""The scripts in this folder are run by the workflows; pytest collects the YAML files only."""

collect_ignore_glob = ["*.py"]
