"""`python -m tests.openstack.boot.image`: build the image if it is not there yet, and print where it is."""

import sys

from tests.openstack.boot.image.build import CACHE, Builder, CannotBuild
from tests.openstack.boot.image.definition import LAB, Definition


def main() -> None:
    builder = Builder(CACHE, say=lambda line: print(line, file=sys.stderr, flush=True))
    try:
        print(builder.image(Definition.load(LAB)))
    except CannotBuild as problem:
        sys.exit(str(problem))


main()
