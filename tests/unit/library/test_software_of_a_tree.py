"""Reading what a tree has installed, from the files of dpkg, pip and R."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.library import inventorying
from js2spawner.library.inventorying import debs, libraries, licences, record, wheels
from js2spawner.library.software import Package

STATUS = """\
Package: nano
Status: install ok installed
Architecture: amd64
Version: 7.2-1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b
Description: time zone
 Package: not-a-package
"""


def put(root: Path, place: str, text: str) -> None:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def metadata(root: Path, environment: str, name: str, version: str, *lines: str) -> None:
    folder = f"opt/js2/{environment}/lib/python3.11/site-packages/{name}-{version}.dist-info"
    put(
        root,
        f"{folder}/METADATA",
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines, "", ""]),
    )


def test_debian_packages_are_those_that_are_installed(tmp_path: Path):
    put(tmp_path, "var/lib/dpkg/status", STATUS)
    assert [each.name for each in debs.packages(tmp_path)] == ["nano", "tzdata"]
    assert debs.architecture(tmp_path) == "amd64"


def test_a_machine_readable_copyright_file_tells_the_licences_of_a_debian_package(tmp_path: Path):
    put(tmp_path, "var/lib/dpkg/status", STATUS)
    put(
        tmp_path,
        "usr/share/doc/nano/copyright",
        "Format: https://example.org/1.0/\n\nFiles: *\nCopyright: someone\nLicense: GPL-3+\n text\n\n"
        "Files: doc/*\nLicense: GFDL-1.2+ or GPL-3+\n\nFiles: m4/*\nLicense: Expat\n",
    )
    put(tmp_path, "usr/share/doc/tzdata/copyright", "This is free software. License: see below\n")
    assert [each.licence for each in debs.packages(tmp_path)] == ["GPL-3.0-or-later AND MIT", ""]


def test_python_packages_of_every_environment_are_found(tmp_path: Path):
    metadata(tmp_path, "server", "tornado", "6.5", "License-Expression: Apache-2.0")
    metadata(tmp_path, "science", "numpy", "2.0", "Classifier: License :: OSI Approved :: BSD License")
    metadata(tmp_path, "science", "tornado", "6.5", "License-Expression: Apache-2.0")
    found = inventorying.software(tmp_path)
    assert found == (Package("pypi", "numpy", "2.0", "BSD-3-Clause"), Package("pypi", "tornado", "6.5", "Apache-2.0"))


def test_a_whole_licence_text_is_not_taken_for_the_name_of_a_licence(tmp_path: Path):
    metadata(tmp_path, "server", "wordy", "1", "License: Redistribution and use in source" + " and binary forms" * 9)
    assert [each.licence for each in wheels.packages(tmp_path)] == [""]


def test_r_packages_are_listed_without_those_that_are_r_itself(tmp_path: Path):
    put(
        tmp_path,
        "usr/lib/R/site-library/dplyr/DESCRIPTION",
        "Package: dplyr\nVersion: 1.1.0\nLicense: MIT + file LICENSE\n",
    )
    put(tmp_path, "usr/lib/R/library/stats/DESCRIPTION", "Package: stats\nVersion: 4.2.2\nPriority: base\n")
    put(
        tmp_path,
        "usr/lib/R/library/nlme/DESCRIPTION",
        "Package: nlme\nVersion: 3.1\nLicense: GPL (>= 2) | file\n  LICENCE\n",
    )
    assert sorted(libraries.packages(tmp_path)) == [
        Package("cran", "dplyr", "1.1.0", "MIT"),
        Package("cran", "nlme", "3.1", "GPL-2.0-or-later"),
    ]


def test_a_tree_without_anything_holds_nothing(tmp_path: Path):
    assert inventorying.software(tmp_path) == ()


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("GPL-2+ or Artistic", "Artistic-1.0-Perl OR GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("Expat and GPL-2+, or BSD-3-clause", "BSD-3-Clause OR (GPL-2.0-or-later AND MIT)"),
        ("Somebody's own", "Somebody's own"),
    ],
)
def test_debians_names_of_licences_become_spdx_where_that_has_one(said: str, spdx: str):
    assert licences.from_debian(said) == spdx


def test_a_choice_is_settled_where_one_of_its_ends_is_needed_anyway():
    assert licences.all_of(["MIT OR GPL-2.0-only", "MIT", "ISC"]) == "ISC AND MIT"


def test_the_list_beside_a_build_reads_back_as_it_was(tmp_path: Path):
    packages = (Package("cran", "dplyr", "1"), Package("deb", "nano", "7.2-1", "GPL-3.0-or-later"))
    record.write(reversed(packages), tmp_path / record.NAME)
    assert record.read(tmp_path / record.NAME) == packages
    (tmp_path / record.NAME).write_text('[{"of": "something else"}]')
    with pytest.raises(ValueError, match="no list of software"):
        record.read(tmp_path / record.NAME)
