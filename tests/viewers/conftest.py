"""`setup/test_viewers.sh` alone runs this folder: what it imports is not in the environment of the other tests."""

collect_ignore = ["read_results.py"]
