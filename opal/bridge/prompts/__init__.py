"""Prompts that ask a language model for samples of one group, and answers read back as samples.

A prompter draws the examples of each request anew, shows them as data, and reads the answer
strictly: what breaks a rule is rejected with its reason and never repaired.
"""
