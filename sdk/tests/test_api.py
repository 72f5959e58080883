import pytest

from topgraft_adapter import Array, Column, Parameter, Tabular
from topgraft_adapter.api import describe, digest, problems


def test_describes_each_kind_of_item():
    table = Tabular((Column("age", "integer"), Column("name", "string", required=False)))
    described = describe(({"t": table, "p": Parameter("double", required=False)}, {"y": Array("float", (-1, 64))}))
    assert described == {
        "inputs": [
            {
                "name": "t",
                "type": "tabular",
                "required": True,
                "columns": [
                    {"name": "age", "required": True, "dataType": "integer"},
                    {"name": "name", "required": False, "dataType": "string"},
                ],
            },
            {"name": "p", "type": "parameter", "required": False, "dataType": "double"},
        ],
        "outputs": [{"name": "y", "type": "array", "required": True, "dataType": "float", "shape": [-1, 64]}],
    }


def test_the_digest_ignores_order_and_nothing_else():
    a, b = Column("a", "integer"), Column("b", "string")
    outputs = {"y": Parameter("long")}

    def of(inputs):
        return digest(describe((inputs, outputs)))

    first = of({"t": Tabular((a, b)), "p": Parameter("float")})
    assert first == of({"p": Parameter("float"), "t": Tabular((b, a))})
    assert first.startswith("sha256:")
    assert len(first) == 71
    others = [
        of({"t": Tabular((a,)), "p": Parameter("float")}),
        of({"t": Tabular((a, b)), "p": Parameter("double")}),
        of({"t": Tabular((a, b)), "p": Parameter("float", required=False)}),
        of({"t": Tabular((a, b))}),
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize(
    ("api", "message"),
    [
        (None, "must return two mappings"),
        (({"x": Parameter("long")},), "must return two mappings"),
        (({}, {"y": Parameter("long")}), "no inputs"),
        (({"x": Parameter("int64")}, {"y": Parameter("long")}), "inputs.x: data type 'int64'"),
        (({"x": Array("long", ())}, {"y": Parameter("long")}), "shape"),
        (({"x": Array("long", (-2,))}, {"y": Parameter("long")}), "shape"),
        (({"x": Tabular(())}, {"y": Parameter("long")}), "at least one column"),
        (({"x": "long"}, {"y": Parameter("long")}), "is a str"),
        (({"": Parameter("long")}, {"y": Parameter("long")}), "name must be a string"),
        (({"t": Tabular((Column("a", "long"),)), "t.a": Parameter("long")}, {"y": Parameter("long")}), "stands twice"),
    ],
)
def test_names_what_is_wrong(api, message):
    assert any(message in problem for problem in problems(api))


def test_a_sound_api_has_no_problems():
    assert problems(({"x": Array("long", (-1, 3))}, {"y": Parameter("string")})) == []
