"""Sets up the parts named on the command line."""

import sys

from devkit.setup import go, java, kubernetes, node, parts, programs, pulumi, python, recordings

PARTS = {
    part.name: part
    for part in (
        python.BOOTSTRAP,
        python.DEVELOPMENT,
        python.ARCHIVE,
        python.PICTURE,
        python.EXAMPLES,
        go.GO,
        go.CODEGEN,
        go.PROPERTY_PATH,
        go.SIMULATOR,
        go.GOVC,
        node.NODE,
        node.PACKAGES,
        pulumi.PULUMI,
        pulumi.LANGUAGE_HOSTS_FOR_TESTS,
        kubernetes.APISERVER,
        kubernetes.CRDS,
        kubernetes.KUBERNETES_PLUGIN,
        recordings.RECORDINGS,
        programs.PYTHON,
        programs.TYPESCRIPT,
        programs.GO,
        java.LANGUAGE_HOST,
        java.JAVA,
    )
}

if __name__ == "__main__":
    sys.exit(parts.main(sys.argv[1:], PARTS))
