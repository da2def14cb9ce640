"""Target and profile files: device tiers, and what is done to a model for each of them."""

from mobilesdk.targets.budget import (
    AnyBudget,
    BoxBudget,
    Budget,
    ClassBudget,
    EmbeddingBudget,
    MaskBudget,
    TokenBudget,
    ValueBudget,
)
from mobilesdk.targets.faults import Fault, refuse
from mobilesdk.targets.files import (
    check_file,
    check_files,
    find_targets,
    load_profile,
    load_target,
    load_targets,
    profile_line,
    shipped,
    shipped_folder,
    shipped_profiles,
)
from mobilesdk.targets.match import Match, MatchRule
from mobilesdk.targets.priorities import priority_faults
from mobilesdk.targets.profile import CompressStep, Profile
from mobilesdk.targets.schemas import schemas
from mobilesdk.targets.target import (
    Device,
    Export,
    FallbackAllowance,
    PartialAllowance,
    Profiles,
    Target,
    Unsupported,
)

__all__ = [
    "AnyBudget",
    "BoxBudget",
    "Budget",
    "ClassBudget",
    "CompressStep",
    "Device",
    "EmbeddingBudget",
    "Export",
    "FallbackAllowance",
    "Fault",
    "MaskBudget",
    "Match",
    "MatchRule",
    "PartialAllowance",
    "Profile",
    "Profiles",
    "Target",
    "TokenBudget",
    "Unsupported",
    "ValueBudget",
    "check_file",
    "check_files",
    "find_targets",
    "load_profile",
    "load_target",
    "load_targets",
    "priority_faults",
    "profile_line",
    "refuse",
    "schemas",
    "shipped",
    "shipped_folder",
    "shipped_profiles",
]
