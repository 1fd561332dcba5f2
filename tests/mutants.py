"""What `mutation.py` breaks: file, function, the tests that look at it, and a list of
(what is broken, the code as `ast.unparse` prints it, what takes its place)."""

MUTANTS = [
    (
        "dsatgo.py",
        "rectangle",
        "test_neuron.py -m 'not slow'",
        [
            ("open window", "<= width / 2", "< width / 2"),
            ("width not halved", "<= width / 2", "<= width"),
        ],
    ),
]
