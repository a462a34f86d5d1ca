"""One suite for two clouds: what our code relies on, asked of devcloud and of the real services in the same words.

`clouds.py` opens either cloud, `client.py` talks to it as one person, `recorded.py` holds the real services' answers
(`answers/`) against what is seen. `pytest tests/contract` runs on devcloud; JS2_CONTRACT_CLOUD=openstack runs the same
on the services that `make openstack` brought up, and `--record` there writes their answers down anew.
"""
