"""The dashboard: the views of a recording in a browser, filtered together, every state of it a link."""
