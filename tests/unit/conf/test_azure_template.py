"""The Bicep templates against a real parser, against facts about the resources, and against the code that uses them.

What only Azure itself can say (whether a region offers a model, whether a name is free) is not checked here.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from equipment.azure_facts import FACTS, faults
from equipment.bicep import Expression, Resource, parse_template, read_template
from equipment.bundle import read_bundle

from pegel.conf.loading import load_settings, packaged
from pegel.local.azure_monitor.kql import KqlError, compile_query
from pegel.local.azure_monitor.local_azure_monitor import _rules as local_rules
from pegel.schemas.alert_stream import COLUMNS, TABLE

AZURE = Path(__file__).resolve().parents[3] / "conf" / "azure"
TEMPLATES = {file.relative_to(AZURE).as_posix(): read_template(file) for file in sorted(AZURE.rglob("*.bicep"))}
MAIN = TEMPLATES["main.bicep"]
RESOURCES = [
    pytest.param(resource, id=f"{name}-{resource.symbol}")
    for name, template in TEMPLATES.items()
    for resource in template.resources
]
SETTINGS = load_settings("azure.yml", environ={})

# Type -> what Pegel needs there beside what Azure asks for.
NEEDS: dict[str, tuple[str, ...]] = {
    "Microsoft.Authorization/roleAssignments": ("scope", "properties.principalType"),
    "Microsoft.CognitiveServices/accounts": ("kind", "sku.name", "properties.customSubDomainName"),
    "Microsoft.CognitiveServices/accounts/deployments": ("parent", "sku.capacity", "properties.model.version"),
    "Microsoft.Databricks/accessConnectors": ("identity.type", "identity.userAssignedIdentities"),
    "Microsoft.Databricks/workspaces": ("sku.name",),
    "Microsoft.EventHub/namespaces": ("sku.name", "sku.tier", "sku.capacity"),
    "Microsoft.EventHub/namespaces/eventhubs": (
        "parent", "properties.partitionCount", "properties.retentionDescription.retentionTimeInHours",
    ),
    "Microsoft.EventHub/namespaces/eventhubs/consumergroups": ("name",),
    "Microsoft.Insights/actionGroups": ("properties.enabled",),
    "Microsoft.Insights/dataCollectionEndpoints": ("properties.networkAcls.publicNetworkAccess",),
    "Microsoft.Insights/dataCollectionRules": (
        "properties.dataCollectionEndpointId", "properties.streamDeclarations", "properties.dataFlows",
    ),
    "Microsoft.Insights/metricAlerts": ("properties.actions",),
    "Microsoft.Insights/scheduledQueryRules": (
        "kind", "properties.displayName", "properties.severity", "properties.evaluationFrequency",
        "properties.windowSize", "properties.skipQueryValidation", "properties.actions.actionGroups",
    ),
    "Microsoft.KeyVault/vaults": ("properties.enableRbacAuthorization",),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("name",),
    "Microsoft.OperationalInsights/workspaces": ("properties.retentionInDays",),
    "Microsoft.OperationalInsights/workspaces/tables": ("parent", "properties.schema.columns"),
    "Microsoft.Storage/storageAccounts": ("properties.isHnsEnabled",),
    "Microsoft.Storage/storageAccounts/blobServices": ("parent",),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("parent", "properties.publicAccess"),
}  # fmt: skip

ROLES = {
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "2b629674-e913-4c01-ae53-ef4638d8f975": "Azure Event Hubs Data Sender",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "db58b8e5-c6ad-4a2a-8342-4190687cbf4a": "Storage Blob Delegator",
}

# Template, who, as what, on which kind of resource: these rights are given and no other.
RIGHTS = {
    ("eventhubs", "receiverPrincipalId", "Azure Event Hubs Data Receiver", "Microsoft.EventHub/namespaces/eventhubs"),
    ("eventhubs", "senderPrincipalId", "Azure Event Hubs Data Sender", "Microsoft.EventHub/namespaces/eventhubs"),
    ("storage", "principal", "Storage Blob Data Contributor",
     "Microsoft.Storage/storageAccounts/blobServices/containers"),
    ("storage", "principal", "Storage Blob Delegator", "Microsoft.Storage/storageAccounts"),
    ("storage", "webhookPrincipalId", "Storage Blob Data Reader",
     "Microsoft.Storage/storageAccounts/blobServices/containers"),
    ("storage", "webhookPrincipalId", "Storage Blob Data Contributor",
     "Microsoft.Storage/storageAccounts/blobServices/containers"),
    ("keyvault", "modelsPrincipalId", "Key Vault Secrets User", "Microsoft.KeyVault/vaults"),
    ("keyvault", "databricksApplicationObjectId", "Key Vault Secrets User", "Microsoft.KeyVault/vaults"),
    ("logs", "publisherPrincipalId", "Monitoring Metrics Publisher", "Microsoft.Insights/dataCollectionRules"),
    ("openai", "userPrincipalId", "Cognitive Services OpenAI User", "Microsoft.CognitiveServices/accounts"),
}  # fmt: skip


def at(body: dict[str, Any], path: str) -> Any:
    """What lies at a path such as ``properties.sku.name``; None if nothing does."""
    found: Any = body
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def one(kind: str) -> Resource:
    (resource,) = all_of(kind)
    return resource


def all_of(kind: str) -> list[Resource]:
    return [resource for template in TEMPLATES.values() for resource in template.resources if resource.kind == kind]


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_has_no_fault_that_can_be_seen(name):
    assert TEMPLATES[name].faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("resource a 'M/r@1' = {\n  name: 'x'\n", "is not understood"),
        ("param a string\noutput o string = b\n", "'b', which is not declared"),
        ("param a string\n", "'a' is declared and not used"),
        ("var a = 1\n", "'a' is declared and not used"),
        ("param p string\noutput o string = secretOf(p)\n", "'secretOf', which is not declared"),
        ("var l = [for i in [1]: i]\noutput o array = concat(l, i)\n", "line 2 uses 'i'"),
        ("var m = map([1], x => { x: x })\noutput o array = concat(m, x)\n", "line 2 uses 'x'"),
    ],
)
def test_a_fault_is_seen(text, fault):
    assert fault in "; ".join(parse_template(text).faults)


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_is_of_the_version_properties_and_values_that_azure_knows(resource):
    assert faults(resource) == []
    assert [path for path in NEEDS[resource.kind] if at(resource.body, path) is None] == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"version": "2023-07-02"}, "has no version 2023-07-02"),
        ({"body": {"properties": {"sku": {"family": "A", "name": "standard"}}}}, "'tenantId' is missing"),
        ({"body": {"zone": "1"}}, "'zone' is not known"),
        ({"body": {"properties": {"tenantId": "t", "sku": {"name": "basic", "family": "A"}}}}, "'basic' is none of"),
        ({"body": {"properties": {"tenantId": "t", "sku": {"tier": "A"}}}}, "properties.sku: 'tier' is not known"),
    ],
)
def test_what_azure_does_not_know_is_a_fault(change, fault):
    vault = one("Microsoft.KeyVault/vaults")
    wrong = replace(vault, **{**change, "body": {**vault.body, **change.get("body", {})}})
    assert faults(vault) == []
    assert fault in "; ".join(faults(wrong))


def test_everything_that_pegel_needs_is_made():
    # What main.bicep reaches: a module that nobody uses makes nothing.
    modules = [(TEMPLATES[module.path], module.condition) for module in MAIN.modules]
    made = [(one, condition) for template, condition in [(MAIN, ""), *modules] for one in template.resources]
    assert {resource.kind for resource, _ in made} == set(NEEDS)
    assert {f"{resource.kind}@{resource.version}" for resource, _ in made} == set(FACTS)
    assert sum(one.kind == "Microsoft.ManagedIdentity/userAssignedIdentities" for one, _ in made) == 3
    conditions = {one.symbol: condition or one.condition for one, condition in made if condition or one.condition}
    named, scope = "(!empty(openAiDeploymentName))", "(!empty(databricksApplicationObjectId))"
    model = {one.symbol for one in TEMPLATES["modules/openai.bicep"].resources}
    assert conditions == {**dict.fromkeys(model, named), "databricksReadsSecrets": scope}


def test_every_module_is_used_with_exactly_the_parameters_that_it_declares():
    used = {module.path: module for module in MAIN.modules}
    assert set(used) == set(TEMPLATES) - {"main.bicep"}
    assert len(used) == len(MAIN.modules)
    for path, module in used.items():
        declared = TEMPLATES[path].parameters
        required = {name for name, has_default in declared.items() if not has_default}
        assert required <= set(module.parameters) <= set(declared), path


def test_every_output_of_a_module_that_is_used_is_there():
    text = (AZURE / "main.bicep").read_text(encoding="utf-8")
    files = {module.symbol: module.path for module in MAIN.modules}
    used = re.findall(r"(\w+)!?\.outputs\.(\w+)", text)
    assert used
    for symbol, output in used:
        assert output in TEMPLATES[files[symbol]].outputs, f"{symbol}.outputs.{output}"


def test_every_file_that_is_loaded_is_there():
    for name, template in TEMPLATES.items():
        for _, path in template.loaded:
            assert (AZURE / name).parent.joinpath(path).is_file(), f"{name} loads {path}"
    assert sorted(path for template in TEMPLATES.values() for _, path in template.loaded) == [
        "../alert-data.kql", "../alert-page.kql", "../alert-retrain.kql", "../alert-stream.json",
    ]  # fmt: skip


def test_no_template_asks_for_a_key_and_no_output_could_hold_one():
    for file in AZURE.rglob("*.bicep"):
        assert not re.search(r"list(Keys|Secrets|Credentials|AccountSas|\w*Sas)\b", file.read_text(encoding="utf-8"))
    words = re.compile(r"key(?!vault)|secret|password|token|connectionstring|credential|sas\b", re.IGNORECASE)
    for name, template in TEMPLATES.items():
        for output, expression in template.outputs.items():
            assert not words.search(output + expression.replace("keyVault", "vault")), f"{name}: {output}"


def test_no_service_takes_a_key_and_nothing_is_public():
    account = one("Microsoft.Storage/storageAccounts").body["properties"]
    assert (account["allowSharedKeyAccess"], account["allowBlobPublicAccess"], account["isHnsEnabled"]) == (
        False, False, True,
    )  # fmt: skip
    assert account["minimumTlsVersion"] == "TLS1_2"
    assert one("Microsoft.Storage/storageAccounts/blobServices/containers").body["properties"]["publicAccess"] == "None"
    namespace = one("Microsoft.EventHub/namespaces").body["properties"]
    assert namespace["disableLocalAuth"] is True
    assert namespace["minimumTlsVersion"] == "1.2"
    assert one("Microsoft.CognitiveServices/accounts").body["properties"]["disableLocalAuth"] is True
    assert at(one("Microsoft.OperationalInsights/workspaces").body, "properties.features.disableLocalAuth") is True
    vault = one("Microsoft.KeyVault/vaults").body["properties"]
    assert (vault["enableRbacAuthorization"], vault["enablePurgeProtection"]) == (True, True)


def test_the_rights_that_are_given_are_those_of_the_list():
    given = set()
    for name, template in TEMPLATES.items():
        kinds = {resource.symbol: resource.kind for resource in template.resources}
        for resource in template.resources:
            if resource.kind != "Microsoft.Authorization/roleAssignments":
                continue
            properties = resource.body["properties"]
            role = re.search(r"'([0-9a-f-]{36})'", template.variables[properties["roleDefinitionId"].text])
            scope = resource.body["scope"].text.partition("[")[0]
            assert role, resource.symbol
            given.add((Path(name).stem, properties["principalId"].text, ROLES[role[1]], kinds[scope]))
            assert properties["principalType"] == "ServicePrincipal"
            assert resource.body["name"].text.startswith("guid("), "a name of its own for each deployment"
    assert given == RIGHTS


def test_each_identity_gets_only_what_it_is_for():
    wiring = dict(re.findall(r"(\w+PrincipalId): identities\.outputs\.(\w+)", _main_text()))
    assert wiring == {
        "receiverPrincipalId": "streamPrincipalId",
        "senderPrincipalId": "modelsPrincipalId",
        "streamPrincipalId": "streamPrincipalId",
        "modelsPrincipalId": "modelsPrincipalId",
        "webhookPrincipalId": "webhookPrincipalId",
        "publisherPrincipalId": "streamPrincipalId",
        "userPrincipalId": "modelsPrincipalId",
    }


def test_the_webhook_writes_only_its_own_tables():
    storage = TEMPLATES["modules/storage.bicep"]
    assert storage.variables["databricksPrincipals"].split() == ["[", "streamPrincipalId", "modelsPrincipalId", "]"]
    (write,) = [resource for resource in storage.resources if resource.symbol == "webhookWrites"]
    assert write.body["properties"]["conditionVersion"] == "2.0"
    assert write.body["properties"]["condition"] == Expression("onlyWebhookTables")
    condition = storage.variables["onlyWebhookTables"].replace("\\'", "'")
    assert condition.count("(") == condition.count(")")
    guarded = set(re.findall(r"!\(ActionMatches\{'\$\{blobs\}/([\w/]+)'\}\)", condition))
    assert guarded == {"write", "add/action", "move/action", "delete"}
    tables = re.findall(r"StringLike '\$\{tablesFolder\}/(\w+)\*'", condition)
    assert tables == ["webhook_calls", "silences", "audit_events_webhook"]
    assert SETTINGS.storage.root.endswith(f"/{MAIN.variables['tablesFolder'].strip(chr(39))}")


def test_hubs_and_groups_are_those_of_the_settings():
    assert MAIN.variables["predictionsHub"] == f"'{SETTINGS.source.predictions_hub}'"
    assert MAIN.variables["feedbackHub"] == f"'{SETTINGS.source.feedback_hub}'"
    assert f"'{SETTINGS.source.eventhubs.consumer_group}'" in _main_text()
    assert MAIN.variables["containerName"] == "'pegel'"
    assert SETTINGS.storage.root.startswith("abfss://pegel@")


def test_the_stream_of_alerts_has_the_columns_that_the_code_sends():
    declared = json.loads((AZURE / "alert-stream.json").read_text(encoding="utf-8"))["columns"]
    assert {column["name"]: column["type"] for column in declared} == COLUMNS
    # What a stream may hold, and what a table may call it: only the date and time is spelled in another way there.
    assert set(COLUMNS.values()) <= {"string", "int", "long", "real", "boolean", "datetime", "dynamic"}
    assert all(re.fullmatch(r"[A-Za-z]\w{0,44}", name) for name in COLUMNS)
    assert not {"_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"} & set(COLUMNS)
    logs = TEMPLATES["modules/logs.bicep"]
    assert logs.variables["stream"] == "loadJsonContent('../alert-stream.json')"
    assert "column.type == 'datetime' ? 'dateTime' : column.type" in logs.variables["tableColumns"]


def test_what_is_sent_ends_in_the_table_that_the_rules_read():
    table = one("Microsoft.OperationalInsights/workspaces/tables").body
    assert (table["name"], table["properties"]["schema"]["name"]) == (TABLE, TABLE)
    assert table["properties"]["schema"]["columns"] == Expression("tableColumns")
    rule = one("Microsoft.Insights/dataCollectionRules").body["properties"]
    stream = SETTINGS.delivery.azure_monitor.stream_name
    assert rule["streamDeclarations"] == {stream: {"columns": Expression("stream.columns")}}
    (flow,) = rule["dataFlows"]
    (destination,) = rule["destinations"]["logAnalytics"]
    assert (flow["streams"], flow["outputStream"]) == ([stream], f"Custom-{TABLE}")
    assert flow["destinations"] == [destination["name"]]
    assert compile_query(flow["transformKql"], {"source": [*COLUMNS]}).columns == tuple(COLUMNS)


def test_every_query_runs_and_has_the_dimensions_of_its_rule():
    rules = all_of("Microsoft.Insights/scheduledQueryRules")
    assert [rule.body["name"] for rule in rules] == ["pegel-page", "pegel-data", "pegel-retrain"]
    dimensions = re.findall(r"name: '(\w+)'", TEMPLATES["modules/alerting.bicep"].variables["incidentDimensions"])
    assert dimensions == ["model", "incident_id"]
    row = {**dict.fromkeys(COLUMNS), "alert_id": "a", "incident_id": "i", "sequence": 2, "model": "m"}
    for rule in rules:
        (criterion,) = rule.body["properties"]["criteria"]["allOf"]
        path = re.fullmatch(r"loadTextContent\('\.\./([\w-]+\.kql)'\)", criterion["query"].text)
        assert path
        query = compile_query(packaged(f"azure/{path[1]}"), {TABLE: [*COLUMNS]})
        # A row that fires every rule; no incident of the stream is like it.
        fires = {**row, "state": "confirmed", "action": "retrain", "cause": "pipeline_fault", "TimeGenerated": 1}
        (left,) = query.run([fires])
        assert {name: left[name] for name in dimensions} == {"model": "m", "incident_id": "i"}
        assert query.run([{**fires, "state": "resolved"}]) == []
        assert criterion["dimensions"] == Expression("incidentDimensions")


@pytest.mark.parametrize("text", ["source | extend x = 1", "source | project-away model", "source | where n > 3", "T"])
def test_a_query_that_the_local_azure_monitor_does_not_know_is_refused(text):
    with pytest.raises(KqlError):
        compile_query(text, {"source": [*COLUMNS]})


def test_rules_are_those_that_the_local_azure_monitor_tries():
    local = {rule.name: (rule.severity, rule.dimensions, bool(rule.calls)) for rule in local_rules("https://x")}
    dimensions = tuple(
        re.findall(r"name: '(\w+)'", TEMPLATES["modules/alerting.bicep"].variables["incidentDimensions"])
    )
    assert local == {
        rule.body["name"]: (
            rule.body["properties"]["severity"],
            dimensions,
            "retraining.id" in {group.text for group in rule.body["properties"]["actions"]["actionGroups"]},
        )
        for rule in all_of("Microsoft.Insights/scheduledQueryRules")
    }


@pytest.mark.parametrize(
    ("cause", "action", "fired"),
    [
        ("pipeline_fault", "page", ["pegel-page", "pegel-data"]),
        ("label_change", "page", ["pegel-page", "pegel-data"]),
        # Whoever was called when it opened is let go, and nobody else is called.
        ("harmless_shift", "none", []),
        ("mix_shift", "none", []),
        ("harmful_shift", "retrain", ["pegel-page", "pegel-retrain"]),
        (None, "page", ["pegel-page"]),
    ],
)
def test_the_cause_of_a_confirmed_incident_says_who_is_called(cause, action, fired):
    row = {**dict.fromkeys(COLUMNS), "alert_id": "a", "incident_id": "i", "sequence": 2, "model": "m"}
    row |= {"state": "confirmed", "action": action, "cause": cause, "TimeGenerated": 1}
    assert [rule.name for rule in local_rules(None) if rule.query.run([row])] == fired


def test_only_the_rule_for_confirmed_drift_reaches_the_webhook():
    called = {
        rule.body["name"]: [group.text for group in rule.body["properties"]["actions"]["actionGroups"]]
        for rule in all_of("Microsoft.Insights/scheduledQueryRules")
    }
    assert called == {"pegel-page": ["people.id"], "pegel-data": ["dataOwners.id"], "pegel-retrain": ["retraining.id"]}
    assert SETTINGS.webhook.rules == ("pegel-retrain",)
    for alert in all_of("Microsoft.Insights/metricAlerts"):
        assert alert.body["properties"]["actions"] == [{"actionGroupId": Expression("people.id")}]


def test_log_rules_are_of_the_values_that_the_service_takes():
    for rule in all_of("Microsoft.Insights/scheduledQueryRules"):
        properties = rule.body["properties"]
        (criterion,) = properties["criteria"]["allOf"]
        assert rule.body["kind"] == "LogAlert"
        assert properties["displayName"] == rule.body["name"], "the payload names the rule by one of the two"
        assert properties["severity"] in range(5)
        assert (properties["autoMitigate"], properties["skipQueryValidation"]) == (True, True)
        assert "muteActionsDuration" not in properties  # excludes autoMitigate
        assert (criterion["timeAggregation"], criterion["operator"], criterion["threshold"]) == (
            "Count", "GreaterThan", 0,
        )  # fmt: skip
        assert criterion["failingPeriods"] == {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1}
    assert TEMPLATES["modules/alerting.bicep"].variables["lookBack"] == "'P2D'"  # the longest that the service has


def test_the_webhook_is_called_with_a_token_and_nobody_else_is_called_without_one():
    groups = {group.symbol: group.body["properties"] for group in all_of("Microsoft.Insights/actionGroups")}
    assert all(len(group["groupShortName"]) <= 12 for group in groups.values())
    (receiver,) = groups["retraining"]["webhookReceivers"]
    assert receiver["useAadAuth"] is True
    assert receiver["useCommonAlertSchema"] is True
    assert {"name", "serviceUri", "objectId", "identifierUri", "tenantId"} <= set(receiver)
    assert "webhookReceivers" not in groups["people"]


def test_silence_is_noticed_by_what_the_hubs_count():
    criteria = {
        alert.body["name"]: alert.body["properties"]["criteria"]["allOf"]
        for alert in all_of("Microsoft.Insights/metricAlerts")
    }
    seen = {
        name: [(part["metricName"], part["operator"], part["threshold"]) for part in parts]
        for name, parts in criteria.items()
    }
    assert seen == {
        "pegel-no-events": [("IncomingMessages", "LessThanOrEqual", 0)],
        "pegel-not-read": [("IncomingMessages", "GreaterThan", 0), ("OutgoingMessages", "LessThanOrEqual", 0)],
    }
    for part in (part for parts in criteria.values() for part in parts):
        assert (part["criterionType"], part["metricNamespace"]) == (
            "StaticThresholdCriterion", "Microsoft.EventHub/namespaces",
        )  # fmt: skip
        assert part["dimensions"] == [
            {"name": "EntityName", "operator": "Include", "values": [Expression("predictionsHub")]}
        ]


def test_no_model_is_assumed_to_be_there():
    assert all(MAIN.parameters[name] for name in ("openAiDeploymentName", "openAiModelName", "openAiModelVersion"))
    for name in ("openAiDeploymentName", "openAiModelName", "openAiModelVersion", "openAiDeploymentSku"):
        assert re.search(rf"^param {name} string = ''$", _main_text(), re.MULTILINE)
    assert not re.search(r"gpt|o\d-mini", "".join(f.read_text() for f in AZURE.rglob("*.bicep")), re.IGNORECASE)


def _main_text() -> str:
    return (AZURE / "main.bicep").read_text(encoding="utf-8")


def test_the_instructions_speak_of_parameters_outputs_and_variables_that_are_there():
    page = (AZURE.parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    resources = page.partition("## 3. The resources")[2].partition("## 4.")[0]
    passed = set(re.findall(r"^ {4}(\w+)=", resources, re.MULTILINE))
    assert {name for name, has_default in MAIN.parameters.items() if not has_default} <= passed <= set(MAIN.parameters)
    outputs = set(re.findall(r"OUTPUT[_ ](\w+)", page))
    assert outputs
    assert outputs <= set(MAIN.outputs)
    variables = set(re.findall(r"--var \"?(\w+)=", page))
    declared = read_bundle()["variables"]
    assert {name for name, of in declared.items() if "default" not in of} <= variables <= set(declared)
    for file in re.findall(r"conf/azure/[\w.-]+", page):
        assert (AZURE.parents[1] / file).is_file(), file


def test_the_settings_that_the_instructions_export_are_settings():
    page = (AZURE.parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    found = re.findall(r"(PEGEL__\w+)=(?:'([^']*)')?", page)
    exported = {name: value or ("1" if name.endswith("_ID") else "x") for name, value in found}
    assert len(exported) > 5
    settings = load_settings("azure.yml", environ=exported)
    assert settings.databricks.retrain_job_id == 1
    assert [secret.env for secret in settings.webhook.approver_secrets] == ["PEGEL_APPROVER_SECRET"]


def test_the_role_that_is_registered_is_the_one_that_the_webhook_asks_for():
    (role,) = json.loads((AZURE / "webhook-roles.json").read_text(encoding="utf-8"))
    assert role["value"] == SETTINGS.webhook.role
    assert (role["allowedMemberTypes"], role["isEnabled"]) == (["Application"], True)
    page = (AZURE.parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"az ad sp create --id {SETTINGS.webhook.caller}" in page
