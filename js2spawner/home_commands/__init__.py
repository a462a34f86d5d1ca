"""`js2 home …`: the homes of a hub's users from the command line, whether the hub runs or not."""
