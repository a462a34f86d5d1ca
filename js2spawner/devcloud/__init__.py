"""An OpenStack on loopback for laptops and tests: Keystone, Nova, Glance, Neutron, Cinder and metadata over HTTP.

`docs/devcloud.md` says what it is, how it is scripted and what it does not prove.
"""
