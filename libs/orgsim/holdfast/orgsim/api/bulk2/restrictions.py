"""What neither Bulk API can query, with the platform's sentences."""

from __future__ import annotations

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.result import Result

# Setup entities and views that clients are documented to read by REST instead.
NOT_IN_BULK = frozenset({
    "CaseStatus", "ContractStatus", "OrderStatus", "SolutionStatus", "TaskStatus", "WorkOrderStatus",
    "WorkOrderLineItemStatus", "ServiceAppointmentStatus", "ShiftStatus", "WorkStepStatus", "PartnerRole",
    "TaskPriority", "RecentlyViewed", "AcceptedEventRelation", "DeclinedEventRelation", "UndecidedEventRelation",
    "EventWhoRelation", "TaskWhoRelation", "FieldSecurityClassification",
})  # fmt: skip


def refuse_object(obj: SObject) -> None:
    """Refuse an object that only REST can read.

    Raises:
        ApiError: 400 INVALIDENTITY.
    """
    if obj.name in NOT_IN_BULK:
        raise ApiError(400, "INVALIDENTITY", f"Entity '{obj.name}' is not supported by the Bulk API.")


def refuse_hard_delete(operation: str, user: User) -> None:
    """Refuse to delete past the recycle bin for users without "Bulk API Hard Delete".

    Raises:
        ApiError: 400 FEATURENOTENABLED.
    """
    if operation == "hardDelete" and not user.may("BulkApiHardDelete"):
        raise ApiError(400, "FEATURENOTENABLED", "hardDelete operation requires special user profile permission, "
                       "please contact your system administrator")  # fmt: skip


def refuse_query(query: ast.Query) -> None:
    """Refuse subqueries, functions, grouping and OFFSET.

    Raises:
        ApiError: 400 FEATURENOTENABLED or API_ERROR.
    """
    for item in query.items:
        if isinstance(item, ast.SubqueryItem):
            raise ApiError(400, "FEATURENOTENABLED", "Aggregate Relationships not supported in Bulk Query")
        if not isinstance(item, ast.FieldItem):
            raise ApiError(400, "API_ERROR", "Function not supported in Bulk Query")
    if query.group_by or query.offset:
        clause = "GROUP BY" if query.group_by else "OFFSET"
        raise ApiError(400, "API_ERROR", f"{clause} not supported in Bulk Query")


def refuse_columns(result: Result) -> None:
    """Refuse compound and binary fields.

    Raises:
        ApiError: 400 FEATURENOTENABLED or API_ERROR.
    """
    for output in result.outputs:
        if output.column.kind in ("address", "location"):
            raise ApiError(400, "FEATURENOTENABLED", "Selecting compound data not supported in Bulk Query")
        if output.column.kind == "base64":
            raise ApiError(400, "API_ERROR", "Binary fields are not supported in Bulk Query")
