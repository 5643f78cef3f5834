// The wire contract, run by a client of openapi-fetch over the types that openapi-typescript has generated from openapi.json. That it
// compiles shows that every field has its type; that it runs shows that answers are so. The environment is that of ../python/contract.py.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/tandem.js";

type Trunk = components["schemas"]["Trunk"];
type CallLog = components["schemas"]["CallLog"];
type Problem = components["schemas"]["Problem"];
// `any` and `unknown` fit nothing here: only a type that is told does.
type Told<T> = unknown extends T ? never : T;
type EveryField<T> = { [K in keyof T]-?: Told<T[K]> };

const setting = (name: string): string => process.env[name] ?? assert.fail(`${name} is not set`);
const clientOf = (key: string) =>
  createClient<paths>({ baseUrl: setting("TANDEM_URL"), headers: { authorization: `Bearer ${key}` } });
const api = clientOf(setting("TANDEM_KEY"));
const small = clientOf(setting("TANDEM_SMALL_KEY"));
const stranger = clientOf("tdm_wrong");
const password = "a password that no answer may show";
const [host = "", port = ""] = setting("TANDEM_PEER").split(":");
const nobody = "0198f000-0000-7000-8000-000000000000";

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

function good<T>(answer: Answer<T>, status = 200): EveryField<T> & T {
  assert.equal(answer.response.status, status, JSON.stringify(answer.error ?? answer.data));
  assert.ok(!JSON.stringify(answer.data ?? null).includes(password));
  return answer.data as EveryField<T> & T;
}

function refused(answer: { error?: Problem; response: Response }, status: number, code: Problem["code"], field?: string) {
  const problem = answer.error ?? assert.fail(`${answer.response.url} is not refused`);
  assert.deepEqual([answer.response.status, problem.status, problem.code], [status, status, code], JSON.stringify(problem));
  assert.equal(answer.response.headers.get("content-type"), "application/problem+json");
  assert.equal(problem.request_id, answer.response.headers.get("x-request-id"));
  if (field !== undefined) {
    assert.deepEqual(problem.errors?.map((error) => error.field), [field]);
  }
}

const trunkBody = (name: string, more: Partial<components["schemas"]["TrunkCreate"]> = {}) => ({
  name,
  provider: "custom" as const,
  sip_domain: host,
  sip_port: Number(port),
  sip_username: "user",
  sip_password: password,
  ...more,
});
const callBody = (call_id: string, sip_trunk_id: string, more: Partial<components["schemas"]["CallCreate"]> = {}) => ({
  call_id,
  sip_trunk_id,
  direction: "outbound",
  from_number: "+12025550190",
  to_number: "+12025550100",
  started_at: new Date().toISOString(),
  status: "initiated",
  ...more,
});
const at = (id: string) => ({ params: { path: { id } } });
const base = "/api/v1/telephony" as const;

async function trunks(): Promise<[Trunk, Trunk]> {
  const post = (body: components["schemas"]["TrunkCreate"]) => api.POST(`${base}/trunks`, { body });
  const made: Trunk = good(await post(trunkBody("first ts", { description: "x" })), 201);
  assert.deepEqual([made.status, made.provider, made.dtmf_mode], ["active", "custom", "rfc2833"]);
  assert.deepEqual([made.max_concurrent_calls, made.priority, made.cost_per_minute, made.monthly_cost], [10, 1, 0.01, 0]);
  assert.equal(made.can_handle_call, made.is_active);
  const second: Trunk = good(await post(trunkBody("second ts", { priority: 2 })), 201);

  const all: Trunk[] = good(await api.GET(`${base}/trunks`, { params: { query: { limit: 1000 } } }));
  assert.deepEqual(all.filter((trunk) => trunk.name.endsWith(" ts")).map((trunk) => trunk.id), [made.id, second.id]);
  const page = await api.GET(`${base}/trunks`, { params: { query: { skip: 1, limit: 1 } } });
  assert.equal(good(page).length, 1);
  assert.match(page.response.headers.get("link") ?? "", /rel="prev"/);
  assert.equal(good(await api.GET(`${base}/trunks/{id}`, at(made.id))).name, "first ts");

  const put = (id: string, body: components["schemas"]["TrunkUpdate"]) =>
    api.PUT(`${base}/trunks/{id}`, { ...at(id), body });
  const changed: Trunk = good(await put(made.id, { priority: 5, description: null }));
  assert.deepEqual([changed.priority, changed.description, changed.name], [5, null, "first ts"]);
  const health = good(await api.POST(`${base}/trunks/{id}/health-check`, at(made.id)));
  assert.equal(health.trunk_id, made.id);
  assert.ok((health.latency_ms ?? 0) > 0, JSON.stringify(health));
  const stats = good(await api.GET(`${base}/trunks/{id}/stats`, at(made.id)));
  assert.deepEqual([stats.trunk_id, stats.total_calls, stats.last_24h_cost], [made.id, 0, 0]);
  const dashboard = good(await api.GET(`${base}/dashboard`));
  assert.ok(dashboard.total_trunks >= 2 && dashboard.trunk_stats.some((stats) => stats.trunk_id === made.id));
  assert.ok(dashboard.call_stats.total_calls >= 0);

  refused(await post(trunkBody("wrong", { priority: 101 })), 422, "invalid_field", "priority");
  refused(await post(trunkBody("first ts")), 422, "name_taken", "name");
  refused(await stranger.POST(`${base}/trunks`, { body: trunkBody("x") }), 401, "unauthorized");
  refused(await api.GET(`${base}/trunks`, { params: { query: { limit: 0 } } }), 422, "invalid_field", "limit");
  refused(await api.GET(`${base}/trunks/{id}`, at(nobody)), 404, "not_found");
  refused(await put(nobody, { priority: 2 }), 404, "not_found");
  refused(await put(made.id, { sip_port: 0 }), 422, "invalid_field", "sip_port");
  refused(await api.DELETE(`${base}/trunks/{id}`, at(nobody)), 404, "not_found");
  refused(await api.POST(`${base}/trunks/{id}/health-check`, at(nobody)), 404, "not_found");
  refused(await api.GET(`${base}/trunks/{id}/stats`, at(nobody)), 404, "not_found");
  await small.POST(`${base}/trunks`, { body: trunkBody("only") });
  refused(await small.POST(`${base}/trunks`, { body: trunkBody("one too many") }), 400, "trunk_limit_reached");
  return [made, second];
}

async function calls(trunk: string) {
  const post = (body: components["schemas"]["CallCreate"]) => api.POST(`${base}/calls`, { body });
  const put = (id: string, body: components["schemas"]["CallUpdate"]) => api.PUT(`${base}/calls/{id}`, { ...at(id), body });
  const logged: CallLog = good(await post(callBody("ts-1", trunk, { metadata: { customer: "Zoë" } })), 201);
  assert.deepEqual([logged.call_id, logged.sip_trunk_id, logged.metadata], ["ts-1", trunk, { customer: "Zoë" }]);
  assert.deepEqual([logged.is_completed, logged.was_answered], [false, false]);
  refused(await post(callBody("ts-1", trunk)), 409, "call_id_taken");
  refused(await post(callBody("x", nobody)), 400, "unknown_trunk");
  refused(await post(callBody("x", trunk, { direction: "bidirectional" })), 422, "invalid_field", "direction");
  refused(await api.DELETE(`${base}/trunks/{id}`, at(trunk)), 400, "trunk_in_use");
  good(await post(callBody("ts-2", trunk, { status: "no-answer" })), 201);

  const list = (query: paths[`${typeof base}/calls`]["get"]["parameters"]["query"]) =>
    api.GET(`${base}/calls`, { params: { query } });
  const page = await list({ trunk_id: trunk, limit: 1, count: "exact" });
  assert.deepEqual(good(page).map((call) => call.call_id), ["ts-2"]);
  assert.equal(page.response.headers.get("x-total-count"), "2");
  const cursor = /cursor=([^>&]+)/.exec(page.response.headers.get("link") ?? "")?.[1] ?? assert.fail("no next");
  assert.deepEqual(good(await list({ trunk_id: trunk, limit: 1, cursor })).map((call) => call.call_id), ["ts-1"]);
  assert.equal(good(await list({ trunk_id: trunk, status: ["no_answer", "busy"] })).length, 1);
  refused(await list({ limit: 1001 }), 422, "invalid_field", "limit");

  const now = Date.now();
  const answered: CallLog = good(await put("ts-1", { status: "in-progress", answered_at: new Date(now).toISOString() }));
  assert.deepEqual([answered.status, answered.was_answered], ["answered", true]);
  const end = { status: "completed", ended_at: new Date(now + 60_000).toISOString(), quality_score: 4.5, credits_used: 2 };
  const ended: CallLog = good(await put(logged.id, end));
  assert.deepEqual([ended.is_completed, ended.duration_seconds, ended.cost, ended.quality_score], [true, 60, 0.01, 4.5]);
  assert.equal(good(await api.GET(`${base}/calls/{id}`, at("ts-1"))).id, logged.id);
  refused(await put("nobody", { cost: 1 }), 404, "not_found");
  refused(await put("ts-1", { quality_score: 6 }), 422, "invalid_field", "quality_score");
}

const [first, second] = await trunks();
await calls(first.id);
for (const trunk of [first, second]) {
  assert.equal((await api.DELETE(`${base}/trunks/{id}`, at(trunk.id))).response.status, 204);
  refused(await api.GET(`${base}/trunks/{id}`, at(trunk.id)), 404, "not_found");
}
console.log("the wire contract holds for the generated client");
