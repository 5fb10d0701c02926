"""Apple's blendshape names, spelled as ARKit spells them; Left and Right are the subject's."""

EXPRESSIONS: tuple[str, ...] = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLeft",
    "mouthRight",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
)
"""The 51 expressions of the face model, in the order of its codes. ARKit's 52nd, `tongueOut`, has no shape here."""

WITHOUT_SHAPE: tuple[str, ...] = ("tongueOut",)
"""Names that ARKit has and this model cannot show; they stay 0 wherever a full ARKit list is written."""


def mirrored(name: str) -> str:
    """The name of the same movement on the other side of the face ("eyeBlinkLeft" -> "eyeBlinkRight")."""
    if name.endswith("Left"):
        return name[:-4] + "Right"
    if name.endswith("Right"):
        return name[:-5] + "Left"
    return name


def from_ict(name: str) -> str:
    """Apple's name for an ICT-FaceKit expression ("browInnerUp_L" -> "browInnerUp", which joins ICT's two sides)."""
    stem, _, side = name.partition("_")
    if stem in ("browInnerUp", "cheekPuff") or not side:
        return stem
    return stem + {"L": "Left", "R": "Right"}[side]


def ict_names(name: str) -> tuple[str, ...]:
    """ICT-FaceKit's name or names for one of Apple's: the inverse of `from_ict`."""
    if name in ("browInnerUp", "cheekPuff"):
        return name + "_L", name + "_R"
    for side in ("Left", "Right"):
        if name.endswith(side) and name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return (name.removesuffix(side) + "_" + side[0],)
    return (name,)
