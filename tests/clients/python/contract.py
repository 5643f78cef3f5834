"""The wire contract, run by a client that openapi-python-client has generated from openapi.json.

Every answer is parsed into the generated types; what does not fit them fails. TANDEM_URL is the node, TANDEM_KEY a key of an account
of any size, TANDEM_SMALL_KEY one of an account of tier free, TANDEM_PEER the address of something that answers OPTIONS.
"""

import datetime
import importlib
import os
import pkgutil
import uuid
from http import HTTPStatus

import attrs
import tandem_client.models as models
from tandem_client import AuthenticatedClient
from tandem_client.api.calls import list_calls, log_call, read_call, update_call
from tandem_client.api.statistics import read_dashboard, read_trunk_stats
from tandem_client.api.trunks import check_trunk_health, create_trunk, delete_trunk, list_trunks, read_trunk, update_trunk

PASSWORD = "a password that no answer may show"
HOST, PORT = os.environ["TANDEM_PEER"].rsplit(":", 1)
NOBODY = uuid.UUID("0198f000-0000-7000-8000-000000000000")


def client(key):
    return AuthenticatedClient(base_url=os.environ["TANDEM_URL"], token=key, raise_on_unexpected_status=True, timeout=60)


CLIENT = client(os.environ["TANDEM_KEY"])


def good(answer, kind, status=HTTPStatus.OK):
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert isinstance(answer.parsed, kind), (type(answer.parsed), answer.content)
    assert PASSWORD.encode() not in answer.content
    return answer.parsed


def refused(answer, status, code, field=None):
    problem = good(answer, models.Problem, status)
    assert (problem.status, str(problem.code)) == (status, code), answer.content
    assert problem.title and problem.detail and problem.request_id == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert [error.field for error in problem.errors] == [field], answer.content
    return problem


def trunk_body(name, **more):
    return models.TrunkCreate(
        name=name, provider=models.TrunkCreateProvider.CUSTOM, sip_domain=HOST, sip_port=int(PORT), sip_username="user", sip_password=PASSWORD, **more
    )


def call_body(call_id, trunk, **more):
    now = datetime.datetime.now(datetime.timezone.utc)
    fields = {"direction": "outbound", "from_number": "+12025550190", "to_number": "+12025550100", "status": "initiated"}
    return models.CallCreate(call_id=call_id, sip_trunk_id=trunk, started_at=now, **(fields | more))


def trunks():
    made = good(create_trunk.sync_detailed(client=CLIENT, body=trunk_body("first", description="x")), models.Trunk, 201)
    assert made.status == models.TrunkStatus.ACTIVE and made.provider == models.Provider.CUSTOM
    assert (made.max_concurrent_calls, made.priority, made.cost_per_minute, made.monthly_cost) == (10, 1, 0.01, 0)
    assert made.encryption_enabled is True and made.call_direction == models.CallDirection.BIDIRECTIONAL
    assert made.current_active_calls == 0 and made.utilization_percent == 0 and made.can_handle_call == made.is_active
    second = good(create_trunk.sync_detailed(client=CLIENT, body=trunk_body("second", priority=2)), models.Trunk, 201)

    listed = good(list_trunks.sync_detailed(client=CLIENT, limit=1000), list)
    ours = [trunk.id for trunk in listed if trunk.name in ("first", "second")]
    assert ours == [made.id, second.id], listed
    one = list_trunks.sync_detailed(client=CLIENT, skip=1, limit=1)
    assert len(good(one, list)) == 1 and 'rel="prev"' in one.headers["link"]
    assert good(read_trunk.sync_detailed(str(made.id), client=CLIENT), models.Trunk).name == "first"

    changed = models.TrunkUpdate(priority=5, description=None)
    changed = good(update_trunk.sync_detailed(str(made.id), client=CLIENT, body=changed), models.Trunk)
    assert (changed.priority, changed.description, changed.name) == (5, None, "first")
    health = good(check_trunk_health.sync_detailed(str(made.id), client=CLIENT), models.HealthCheck)
    assert health.trunk_id == made.id and health.latency_ms > 0, health

    stats = good(read_trunk_stats.sync_detailed(str(made.id), client=CLIENT), models.TrunkStats)
    assert stats.trunk_id == made.id and stats.total_calls == 0 and stats.last_24h_cost == 0
    start, end = (datetime.datetime(2026, month, 1, tzinfo=datetime.timezone.utc) for month in (1, 2))
    good(read_trunk_stats.sync_detailed(str(made.id), client=CLIENT, start_date=start, end_date=end), models.TrunkStats)
    dashboard = good(read_dashboard.sync_detailed(client=CLIENT), models.Dashboard)
    assert dashboard.total_trunks >= 2 and {made.id, second.id} <= {stats.trunk_id for stats in dashboard.trunk_stats}
    assert dashboard.call_stats.answer_rate_percent is None or dashboard.call_stats.answer_rate_percent >= 0

    nobody, port = str(NOBODY), models.TrunkUpdate(sip_port=0)
    refused(create_trunk.sync_detailed(client=CLIENT, body=trunk_body("wrong", priority=101)), 422, "invalid_field", "priority")
    refused(create_trunk.sync_detailed(client=CLIENT, body=trunk_body("first")), 422, "name_taken", "name")
    refused(create_trunk.sync_detailed(client=client("tdm_wrong"), body=trunk_body("x")), 401, "unauthorized")
    refused(list_trunks.sync_detailed(client=CLIENT, limit=0), 422, "invalid_field", "limit")
    refused(read_trunk.sync_detailed(nobody, client=CLIENT), 404, "not_found")
    refused(update_trunk.sync_detailed(nobody, client=CLIENT, body=models.TrunkUpdate(priority=2)), 404, "not_found")
    refused(update_trunk.sync_detailed(str(made.id), client=CLIENT, body=port), 422, "invalid_field", "sip_port")
    refused(delete_trunk.sync_detailed(nobody, client=CLIENT), 404, "not_found")
    refused(check_trunk_health.sync_detailed(nobody, client=CLIENT), 404, "not_found")
    refused(read_trunk_stats.sync_detailed(nobody, client=CLIENT), 404, "not_found")

    small = client(os.environ["TANDEM_SMALL_KEY"])
    only = create_trunk.sync_detailed(client=small, body=trunk_body("only"))
    if only.status_code != 400:
        good(only, models.Trunk, 201)
    refused(create_trunk.sync_detailed(client=small, body=trunk_body("one too many")), 400, "trunk_limit_reached")
    return made.id, second.id


def calls(trunk):
    conversation = uuid.uuid4()
    metadata = models.CallCreateMetadataType0()
    metadata["customer"] = "Zoë"
    body = call_body("py-1", trunk, conversation_id=conversation, metadata=metadata, remote_ip="192.0.2.1")
    logged = good(log_call.sync_detailed(client=CLIENT, body=body), models.CallLog, 201)
    assert logged.call_id == "py-1" and logged.sip_trunk_id == trunk and logged.conversation_id == conversation
    assert logged.metadata["customer"] == "Zoë" and not logged.is_completed and not logged.was_answered
    refused(log_call.sync_detailed(client=CLIENT, body=body), 409, "call_id_taken")
    refused(log_call.sync_detailed(client=CLIENT, body=call_body("x", NOBODY)), 400, "unknown_trunk")
    both = call_body("x", trunk, direction="bidirectional")
    refused(log_call.sync_detailed(client=CLIENT, body=both), 422, "invalid_field", "direction")
    refused(log_call.sync_detailed(client=CLIENT, body=call_body("", trunk)), 422, "invalid_field", "call_id")
    refused(delete_trunk.sync_detailed(str(trunk), client=CLIENT), 400, "trunk_in_use")
    for number in (2, 3):
        good(log_call.sync_detailed(client=CLIENT, body=call_body(f"py-{number}", trunk, status="no-answer")), models.CallLog, 201)

    page = list_calls.sync_detailed(client=CLIENT, trunk_id=trunk, limit=2, count="exact")
    assert [call.call_id for call in good(page, list)] == ["py-3", "py-2"] and page.headers["x-total-count"] == "3"
    cursor = page.headers["link"].split("cursor=")[1].split(">")[0]
    rest = list_calls.sync_detailed(client=CLIENT, trunk_id=trunk, limit=2, cursor=cursor)
    assert [call.call_id for call in good(rest, list)] == ["py-1"] and 'rel="next"' not in rest.headers["link"]
    status = [models.ListCallsStatusItem.NO_ANSWER, models.ListCallsStatusItem.BUSY]
    assert len(good(list_calls.sync_detailed(client=CLIENT, trunk_id=trunk, status=status), list)) == 2
    refused(list_calls.sync_detailed(client=CLIENT, limit=1001), 422, "invalid_field", "limit")

    now = datetime.datetime.now(datetime.timezone.utc)
    answered = models.CallUpdate(status="in-progress", answered_at=now, codec_used="PCMU")
    answered = good(update_call.sync_detailed("py-1", client=CLIENT, body=answered), models.CallLog)
    assert answered.was_answered and answered.status == models.CallStatus.ANSWERED
    ended = models.CallUpdate(
        status="completed", ended_at=now + datetime.timedelta(seconds=60), hangup_cause="normal", quality_score=4.5, credits_used=2
    )
    ended = good(update_call.sync_detailed(str(logged.id), client=CLIENT, body=ended), models.CallLog)
    assert ended.is_completed and ended.duration_seconds == 60 and ended.cost == 0.01, ended
    assert (ended.quality_score, ended.credits_used, ended.hangup_cause) == (4.5, 2, "normal")
    assert good(read_call.sync_detailed("py-1", client=CLIENT), models.CallLog).id == logged.id
    refused(update_call.sync_detailed("nobody", client=CLIENT, body=models.CallUpdate(cost=1)), 404, "not_found")
    wrong = models.CallUpdate(quality_score=6)
    refused(update_call.sync_detailed("py-1", client=CLIENT, body=wrong), 422, "invalid_field", "quality_score")
    refused(read_call.sync_detailed("nobody", client=CLIENT), 404, "not_found")


def gone(trunk):
    answer = delete_trunk.sync_detailed(str(trunk), client=CLIENT)
    assert answer.status_code == 204 and answer.content == b"", answer
    refused(read_trunk.sync_detailed(str(trunk), client=CLIENT), 404, "not_found")


def every_answer_has_a_type():
    """No field of an answer is of any type; of objects with members of the client's own, the members are."""
    for module in pkgutil.iter_modules(models.__path__):
        for found in vars(importlib.import_module(f"tandem_client.models.{module.name}")).values():
            if attrs.has(found) if isinstance(found, type) else False:
                for field in attrs.fields(found):
                    assert "Any" not in str(field.type) or field.name == "additional_properties", (found, field)


every_answer_has_a_type()
first, second = trunks()
calls(first)
gone(first)
gone(second)
print("the wire contract holds for the generated client")
