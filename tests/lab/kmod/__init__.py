"""Tests of the module variants that need a real kernel, and the commands that run the long ones."""
