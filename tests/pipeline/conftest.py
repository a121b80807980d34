"""Scripts that the workflows run are no tests."""

collect_ignore = ["gcb_config.py", "make_images.py", "preempted.py", "resume_parts.py", "resume_rows.py", "traces.py"]
