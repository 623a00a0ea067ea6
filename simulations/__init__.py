"""Studies: one module per claim, from a frozen config to records and to what must hold of them.

A study has ``Config``, a frozen dataclass whose fields are the flags of ``opal run STUDY``; its
``PRESETS`` tiny, quick and full; and ``cells(config)``, independent of each other, which raises
ValueError before anything is computed if one of them could not be. It may have ``comparison`` of
its records for people, and ``checks`` of them. Its last lines make it a module that can be run.
"""
