"""What the org says about queries that it refuses: codes, sentences and the caret, as the platform words them."""

import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.traits import IndexedField
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse

REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."
NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' "
    "after the custom field name. " + REFERENCE
)
NO_TYPE = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
    "after the entity name. " + REFERENCE
)


def refused(org, soql: str, **options: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        run(org, parse(soql), org.admin, **options)
    assert caught.value.status == 400
    return caught.value


def pointing(excerpt: str, indent: int, column: int, text: str, row: int = 1) -> str:
    return f"\n{excerpt}\n{' ' * indent}^\nERROR at Row:{row}:Column:{column}\n{text}"


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        # recorded by published clients
        ("select count() from XYZZY", "INVALID_TYPE",
         pointing("select count() from XYZZY", 20, 21, NO_TYPE.format("XYZZY"))),
        ("SELECT Bacon__c FROM Account LIMIT 2", "INVALID_FIELD",
         pointing("SELECT Bacon__c FROM Account LIMIT 2", 7, 8, NO_COLUMN.format("Bacon__c", "Account"))),
        ("SELECT Id, DepProbeField__c FROM Account LIMIT 1", "INVALID_FIELD",
         pointing("SELECT Id, DepProbeField__c FROM Account LIMIT", 11, 12,
                  NO_COLUMN.format("DepProbeField__c", "Account"))),
        ("SELECT Id, Name, AccountNumber FROM AccountOpps WHERE Name like 'okToDelete%'", "INVALID_TYPE",
         pointing("SELECT Id, Name, AccountNumber FROM AccountOpps WHERE Name like 'okToDelete%'", 36, 37,
                  NO_TYPE.format("AccountOpps"))),
        ("SELECT Id FROM Contact where Id= '–'", "INVALID_QUERY_FILTER_OPERATOR",
         pointing("SELECT Id FROM Contact where Id= '–'", 29, 30, "invalid ID field: –")),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Id, Name n FROM Account", "MALFORMED_QUERY",
         pointing("SELECT Id, Name n FROM Account", 11, 12, "only aggregate expressions use field aliasing")),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY",
         "The SOQL FIELDS function must have a LIMIT of at most 200"),
        ("SELECT Id, FIELDS(STANDARD) FROM Account", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        ("SELECT Id FROM Account WHERE Id = '001' OR Id IN (SELECT AccountId FROM Contact)", "MALFORMED_QUERY",
         "Semi join sub-selects are not allowed with the 'OR' operator"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE AccountId IN "
         "(SELECT Id FROM Account))", "MALFORMED_QUERY", "Nesting of semi join sub-selects is not supported"),
        ("SELECT Id FROM AccountChangeEvent", "INVALID_TYPE_FOR_OPERATION",
         "entity type AccountChangeEvent does not support query"),
        ("SELECT Id FROM OpenActivity", "INVALID_TYPE_FOR_OPERATION",
         "entity type OpenActivity does not support query"),
        ("", "MALFORMED_QUERY", "SOQL statements cannot be empty or null"),
    ],
)  # fmt: skip
def test_errors_that_clients_have_recorded(org, soql: str, code: str, message: str) -> None:
    error = refused(org, soql)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    ("soql", "code", "part"),
    [
        ("SELECT Id FROM Account WHERE Name > 5", "INVALID_FIELD",
         "value of filter criterion for field 'Name' must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > '2020-01-01'", "INVALID_FIELD",
         "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in "
         "quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2020-13-45T00:00:00Z", "INVALID_FIELD",
         "must be of type dateTime"),
        ("SELECT Id FROM Account WHERE IsDeleted > true", "INVALID_QUERY_FILTER_OPERATOR",
         "invalid operator on boolean field"),
        ("SELECT Id FROM Account WHERE Id LIKE '001%'", "INVALID_QUERY_FILTER_OPERATOR",
         "invalid operator on id field"),
        ("SELECT Id FROM Account WHERE Name INCLUDES ('a')", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD",
         "field 'Description' can not be filtered in a query call"),
        ("SELECT Id FROM Account ORDER BY Description", "MALFORMED_QUERY",
         "field 'Description' can not be sorted in a query call"),
        ("SELECT Description, COUNT(Id) FROM Account GROUP BY Description", "MALFORMED_QUERY",
         "field 'Description' can not be grouped in a query call"),
        ("SELECT SUM(Name) FROM Account", "MALFORMED_QUERY", "field Name does not support aggregate operator SUM"),
        ("SELECT COUNT(IsDeleted) FROM Account", "MALFORMED_QUERY",
         "field IsDeleted does not support aggregate operator COUNT"),
        ("SELECT Nope__r.Name FROM Account", "INVALID_FIELD",
         "Didn't understand relationship 'Nope__r' in field path."),
        ("SELECT Id, (SELECT Id FROM Nopes__r) FROM Account", "INVALID_TYPE",
         "Didn't understand relationship 'Nopes__r' in FROM part of query call."),
        ("SELECT Owner.Nope FROM Account", "INVALID_FIELD", NO_COLUMN.format("Nope", "User")),
        ("SELECT Id FROM Account WHERE Name = :name", "MALFORMED_QUERY", "Bind variables only allowed in Apex code"),
        ("SELECT Id FROM Account WHERE CreatedDate > LastModifiedDate", "MALFORMED_QUERY",
         "Bind variables only allowed in Apex code"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT Name FROM Contact)", "MALFORMED_QUERY",
         "Semi join sub-selects can only query id fields, cannot use: 'Name'"),
        ("SELECT Id FROM Contact WHERE AccountId IN (SELECT Id FROM Contact)", "MALFORMED_QUERY",
         "The selected field 'Id' in the subquery and the left operand field in the where expression in the outer "
         "query 'AccountId' should point to the same object type"),
        ("SELECT Id FROM Account WHERE Name IN (SELECT Id FROM Contact)", "MALFORMED_QUERY",
         "Semi join operands must be id fields, cannot use: 'Name'"),
        ("SELECT COUNT(Id) FROM Account GROUP BY Name HAVING COUNT(Id) IN (SELECT Id FROM Account)", "MALFORMED_QUERY",
         "Semi join operands must be id fields"),
        ("SELECT COUNT(Id) a, MAX(Name) a FROM Account", "MALFORMED_QUERY", "duplicate alias: a"),
        ("SELECT Name, name FROM Account", "INVALID_FIELD", "duplicate field selected: Name"),
        ("SELECT Id, (SELECT COUNT(Id) FROM Contacts) FROM Account", "MALFORMED_QUERY",
         "Only root queries support aggregate expressions"),
        ("SELECT Parent.Parent.Parent.Parent.Parent.Parent.Name FROM Account", "MALFORMED_QUERY",
         "limited to 5 levels"),
        (f"SELECT Id FROM Account WHERE {'(' * 60}Name = 'a'{')' * 60}", "QUERY_TOO_COMPLICATED", "too complicated"),
        (f"SELECT Id FROM Account WHERE {'NOT ' * 60} Name = 'a'", "QUERY_TOO_COMPLICATED", "too complicated"),
        ("SELECT Id FROM Account" + " " * 100_000, "MALFORMED_QUERY",
         "SOQL statements cannot be longer than 100000 characters."),
        ("SELECT Id FROM Account LIMIT 1.5", "MALFORMED_QUERY", "unexpected token: '1.5'"),
        ("SELECT Id FROM Account WHERE x = 1 AND y = 2 OR z = 3", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
    ],
)  # fmt: skip
def test_errors_in_the_platforms_words(org, soql: str, code: str, part: str) -> None:
    error = refused(org, soql)
    assert (error.code, part in error.message) == (code, True), error.message


def test_a_syntax_error_points_one_character_before_its_token(org) -> None:
    soql = "SELECT Id FROM Account LIMIT 1 WHERE Name = 'x'"
    assert refused(org, soql).message == pointing(soql, 30, 31, "unexpected token: 'WHERE'")


def test_the_excerpt_reaches_thirty_characters_to_either_side_within_its_line(org) -> None:
    soql = "SELECT Id,\nName, BillingCity, BillingCountry, Nonsense, BillingState, BillingPostalCode, Fax FROM Account"
    shown = " BillingCity, BillingCountry, Nonsense, BillingState, BillingPostalCode"
    assert refused(org, soql).message.startswith(pointing(shown, 30, 36, "No such column", row=2))


@pytest.mark.parametrize(
    ("name", "condition", "allowed", "part"),
    [
        ("ContentDocumentLink", "Id != null", "LinkedEntityId = '001Hs0000000001IAA'",
         "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or "
         "LinkedEntityId using the equals operator or multiple Id's using the IN operator."),
        ("FieldDefinition", "Name = 'x'", "DurableId = 'x'",
         "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]"),
        ("Vote", "Name = 'x'", "Id IN ('001Hs0000000001IAA')",
         "Implementation restriction: When querying the Vote object, you must filter using the following syntax: "
         "ParentId = [single ID], Parent.Type = [single Type], Id = [single ID], or Id IN [list of ID's]."),
        ("Announcement", "ParentId IN ('0F9000000000001AAA')", "ParentId = '0F9000000000001AAA'",
         "Announcement requires a filter by an ID, FeedItemId or ParentId using the equals operator."),
        ("CollaborationGroupRecord", "Id IN ('0F9000000000001AAA')", "CollaborationGroupId = '0F9000000000001AAA'",
         "CollaborationGroupRecord requires a filter by a single Id, CollaborationGroupId or RecordId using the "
         "equals operator"),
        ("Knowledge__kav", "Name = 'x'", "PublishStatus = 'Online'", "PublishStatus"),
    ],
)  # fmt: skip
def test_objects_that_want_a_filter(org, name: str, condition: str, allowed: str, part: str) -> None:
    obj = org.schema.define(name)
    for text in ("LinkedEntityId", "DurableId", "PublishStatus", "ParentId", "CollaborationGroupId"):
        obj.add(make_field(text, "reference" if text == "LinkedEntityId" else "string", referenceTo=[]))
    org.admin.profile.system = frozenset()
    for where in ("", f" WHERE {condition}", f" WHERE {allowed} OR {condition}", f" WHERE NOT {allowed}"):
        error = refused(org, f"SELECT Id FROM {name}{where}", version="62.0")
        assert (error.code, part in error.message) == ("MALFORMED_QUERY", True), error.message
    assert run(org, parse(f"SELECT Id FROM {name} WHERE {allowed}"), org.admin).total == 0


def test_query_all_files_frees_content_document_links_from_version_59(org) -> None:
    org.schema.define("ContentDocumentLink")
    assert org.admin.may("QueryAllFiles")
    assert run(org, parse("SELECT Id FROM ContentDocumentLink"), org.admin, version="59.0").total == 0
    assert refused(org, "SELECT Id FROM ContentDocumentLink", version="58.0").code == "MALFORMED_QUERY"


def test_big_objects_answer_over_their_index_only(org) -> None:
    obj = org.schema.define("Ride__b")
    for name in ("Rider__c", "Start__c", "Note__c"):
        obj.add(make_field(name))
    obj.traits.index = (IndexedField("Rider__c"), IndexedField("Start__c", descending=True))
    for good in ("", "Rider__c = 'a'", "Rider__c IN ('a', 'b')", "Rider__c = 'a' AND Start__c > 'b'"):
        where = f" WHERE {good}" if good else ""
        assert run(org, parse(f"SELECT Note__c FROM Ride__b{where}"), org.admin).total == 0
    for bad in ("Note__c = 'x'", "Start__c = 'x'", "Rider__c != 'a'", "Rider__c LIKE 'a%'", "Rider__c NOT IN ('a')",
                "Rider__c > 'a' AND Start__c = 'b'", "Rider__c = 'a' OR Rider__c = 'b'",
                "NOT Rider__c = 'a'"):  # fmt: skip
        assert refused(org, f"SELECT Note__c FROM Ride__b WHERE {bad}").code == "MALFORMED_QUERY", bad
    assert "Aggregate functions not supported" in refused(org, "SELECT COUNT() FROM Ride__b").message


def test_nested_child_queries_need_version_58(org) -> None:
    soql = "SELECT Id, (SELECT Id, (SELECT Id FROM Cases) FROM Contacts) FROM Account"
    assert run(org, parse(soql), org.admin, version="58.0").total == 0
    assert refused(org, soql, version="57.0").code == "MALFORMED_QUERY"
