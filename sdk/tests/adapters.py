"""Adapters that the tests serve in real processes."""

import sys
import time
from pathlib import Path
from typing import Self

import numpy as np

from topgraft_adapter import (
    Api,
    Array,
    Column,
    FileSystem,
    InvalidInputError,
    ModelAdapter,
    ModelStateReader,
    Object,
    Parameter,
    Tabular,
)


class Scale(ModelAdapter):
    """Multiplies rows of four numbers by a factor from the artifacts."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        with state_reader.open("factor", "r") as file:
            return cls(float(file.read()))

    @classmethod
    def api(cls) -> Api:
        return {"x": Array("float", (-1, 4))}, {"y": Array("float", (-1, 4))}

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x * self.factor


class SlowLoad(Scale):
    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        time.sleep(4)
        return super().load(state_reader)


class SlowPredict(Scale):
    def predict(self, x: np.ndarray) -> np.ndarray:
        time.sleep(float(x[0, 0]))
        return x


class BadLoad(Scale):
    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        raise ValueError("the weights are for another network" + "!" * 2000)


class ExitingLoad(Scale):
    @classmethod
    def load(cls, state_reader: ModelStateReader) -> Self:
        sys.exit("giving up")


class Moody(Scale):
    """x[0, 0] picks what goes wrong."""

    def predict(self, x: np.ndarray) -> object:
        mood = int(x[0, 0])
        if mood == 1:
            raise RuntimeError("secret-of-a-request")
        if mood == 2:
            raise InvalidInputError("This row makes no sense.")
        if mood == 3:
            return np.zeros((1, 5))
        if mood == 4:
            return x * np.nan
        if mood == 5:
            return None
        return x


class Fading(Scale):
    """Ready until it was asked once."""

    asked = False

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.asked = True
        return x

    def ready(self) -> bool:
        return not self.asked


class Classes(Scale):
    """The greatest of the four numbers is the class."""

    @classmethod
    def api(cls) -> Api:
        return {"x": Array("float", (-1, 4))}, {"scores": Array("float", (-1, 4)), "digit": Array("integer", (-1,))}

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"scores": x, "digit": x.argmax(axis=1) + 10}


class Scores(Classes):
    label_output = "scores"


class WithoutLabels(Classes):
    label_output = ""


class WrongLabelOutput(Classes):
    label_output = "digits"


class Table(Scale):
    """Every data type, a table, and an input that is not required."""

    @classmethod
    def api(cls) -> Api:
        table = Tabular(
            (Column("name", "string"), Column("age", "integer"), Column("height", "double", required=False))
        )
        inputs = {"people": table, "shout": Parameter("boolean"), "suffix": Parameter("string", required=False)}
        return inputs, {
            "greetings": Tabular((Column("text", "string"), Column("age", "long"))),
            "count": Parameter("long"),
        }

    def predict(self, people: dict[str, np.ndarray], shout: bool, suffix: str = "") -> dict[str, object]:
        texts = [f"{name}{suffix}".upper() if shout else f"{name}{suffix}" for name in people["name"]]
        return {"greetings": {"text": texts, "age": people["age"]}, "count": len(texts)}


class Echo(Scale):
    """Every kind of item, given back as it came."""

    @classmethod
    def api(cls) -> Api:
        table = Tabular((Column("day", "date"), Column("tags", "array<string>"), Column("size", "float")))
        items = {
            "flags": Array("boolean", (-1,)),
            "image": Array("double", (2, -1)),
            "when": Parameter("timestamp"),
            "counts": Parameter("map<string,long>"),
            "rows": table,
            "note": Object(),
            "files": FileSystem(),
        }
        return {**items, "level": Parameter("integer", default=3)}, items

    def predict(self, level: int, files: ModelStateReader, **given: object) -> dict[str, object]:
        assert isinstance(level, int)
        # They are read here: the directory goes with the request.
        root = Path(files.dir())
        return {**given, "files": {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}}


class WideApi(Scale):
    """An api too long for a termination message."""

    @classmethod
    def api(cls) -> Api:
        columns = tuple(Column(f"column_with_a_long_name_{number}", "double") for number in range(120))
        return {"table": Tabular(columns)}, {"y": Array("float", (-1,))}

    def predict(self, table: dict[str, np.ndarray]) -> np.ndarray:
        return np.zeros(1)


class WrongArguments(Scale):
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows


class Unfinished(ModelAdapter):
    @classmethod
    def api(cls) -> Api:
        return {"x": Array("float", (-1, 4))}, {"y": Array("float", (-1, 4))}


class BadApi(Scale):
    @classmethod
    def api(cls) -> Api:
        return {"x": Array("decimal", (-1, -4))}, {}  # type: ignore[arg-type]


class NotAnAdapter:
    pass
