"""The Postman collection of all operations."""

import json

from proxy.smartrecruiters import collection
from proxy.smartrecruiters.collection import SCHEMA
from proxy.smartrecruiters.operations import operations, search


def build_collection(*arguments, **options):
    """As it is read from the file."""
    return json.loads(json.dumps(collection.build_collection(*arguments, **options)))


def items(built):
    return {item["name"]: item for folder in built["item"] for item in folder["item"]}


def test_areas_are_folders_and_the_address_is_a_variable():
    built = build_collection(operations(), "http://localhost:8080/")

    assert built["info"]["schema"] == SCHEMA
    assert built["variable"] == [{"key": "baseUrl", "value": "http://localhost:8080"}]
    assert built["auth"] == {"type": "noauth"}
    areas = [folder["name"] for folder in built["item"]]
    assert areas == sorted({operation.area for operation in operations()})
    assert len(items(built)) == 305


def test_a_path_s_variables_are_postman_s():
    item = items(build_collection(operations(), "http://x"))["GET /candidates/{id}/jobs/{jobId}"]

    assert item["request"]["url"] == {
        "raw": "{{baseUrl}}/candidates/:id/jobs/:jobId",
        "host": ["{{baseUrl}}"],
        "path": ["candidates", ":id", "jobs", ":jobId"],
        "variable": [{"key": "id", "value": ""}, {"key": "jobId", "value": ""}],
    }
    assert "candidates_read" in item["request"]["description"]


def test_bodies_are_of_the_operation_s_kind():
    built = items(build_collection(operations(), "http://x"))

    assert built["POST /candidates/cv"]["request"]["body"]["mode"] == "formdata"
    assert built["POST /candidates"]["request"]["body"] == {"mode": "raw", "raw": "{}"}
    patch = built["PATCH /jobs/{jobId}"]["request"]
    assert patch["header"] == [{"key": "Content-Type", "value": "application/json-patch+json"}]
    assert "body" not in built["GET /jobs"]["request"]


def test_a_key_is_a_variable_to_be_filled_in():
    built = build_collection(search(("GET", "/jobs/{jobId}/note")), "http://x", keys_required=True)

    assert {"key": "apiKey", "value": ""} in built["variable"]
    assert {"key": "value", "value": "{{apiKey}}", "type": "string"} in built["auth"]["apikey"]
