"""Makes calls with botocore, which is what aws-cli is made of, and tells what it read.

Each line of stdin is a JSON object, and is answered by a line of stdout:

{"endpoint", "calls": [{"service", "operation", "params"}]} makes calls. The answer is a list of {"result"} or {"code",
"message", "status"}, with "unknown": elements that the service's model does not have. A call with "endpoint" goes there
instead, and one with "as" is made with the credentials that the call of that number got from AssumeRole.

{"filters": [actions]} asks which filters EC2 documents for its actions: {action: [names]}.
"""
import datetime
import json
import re
import sys
import xml.etree.ElementTree as etree

import awscli  # noqa: F401; its newer releases bring a botocore, which is found by the imports below after this one
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

session = botocore.session.get_session()
config = Config(retries={"total_max_attempts": 1})


def local(element):
    return element.tag.rsplit("}", 1)[-1]


def unknown(element, shape, path):
    """Lists what is below an element and not in its shape."""
    if shape.type_name == "structure":
        members = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        for child in element:
            name = local(child)
            if name in members:
                yield from unknown(child, members[name], path + "/" + name)
            else:
                yield path + "/" + name
    elif shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        for child in element:
            if local(child) != item:
                yield path + "/" + local(child)
            else:
                yield from unknown(child, shape.member, path + "[]")
    elif len(element):
        yield path + " is a " + shape.type_name + " and has elements"


def unknown_json(value, shape, path):
    if shape.type_name == "structure":
        for name, child in value.items():
            if name in shape.members:
                yield from unknown_json(child, shape.members[name], path + "/" + name)
            else:
                yield path + "/" + name
    elif shape.type_name == "list":
        for child in value:
            yield from unknown_json(child, shape.member, path + "[]")


def inspect(model, http):
    shape = model.output_shape
    if model.metadata["protocol"] == "json":
        return list(unknown_json(json.loads(http["body"]), shape, ""))
    root = etree.fromstring(http["body"])
    wrapper = shape.serialization.get("resultWrapper") if shape else None
    if wrapper:
        root = next(e for e in root if local(e) == wrapper)
    found = []
    for child in list(root):
        if local(child) == "requestId" or (local(child) == "return" and shape is None):
            root.remove(child)
    if shape is None:
        return ["/" + local(e) for e in root]
    return list(unknown(root, shape, ""))


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    raise TypeError(repr(value))


def client_for(service, endpoint, role):
    given = {}
    if role is not None:
        given = {
            "aws_access_key_id": role["AccessKeyId"],
            "aws_secret_access_key": role["SecretAccessKey"],
            "aws_session_token": role["SessionToken"],
        }
    return session.create_client(service, endpoint_url=endpoint, config=config, **given)


def make(calls, endpoint):
    clients, answers = {}, []
    for call in calls:
        key = (call["service"], call.get("endpoint") or endpoint, call.get("as"))
        if key not in clients:
            role = None if key[2] is None else answers[key[2]]["result"]["Credentials"]
            clients[key] = client_for(key[0], key[1], role)
        answers.append(make_one(clients[key], call))
    return answers


def make_one(client, call):
    seen = []

    def keep(response_dict, **_):
        seen.append(response_dict)

    client.meta.events.register("before-parse", keep)
    try:
        result = client._make_api_call(call["operation"], call.get("params") or {})
    except ClientError as e:
        return {
            "code": e.response["Error"]["Code"],
            "message": e.response["Error"].get("Message", ""),
            "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
        }
    finally:
        client.meta.events.unregister("before-parse", keep)
    result.pop("ResponseMetadata")
    model = client.meta.service_model.operation_model(call["operation"])
    return {"result": result, "unknown": inspect(model, seen[-1])}


def filters(actions):
    model = session.get_service_model("ec2")
    found = {}
    for action in actions:
        members = model.operation_model(action).input_shape.members
        text = (members.get("Filters") or members["Filter"]).documentation
        names = re.findall(r"<li> ?<p> ?<code>([^<]+)</code>", text)
        # Names of tags stand as "tag:&lt;key&gt;", or as "tag" with the key in other letters behind.
        found[action] = ["tag:" if re.match("tag(:|$)", n) else n for n in names]
    return found


for line in sys.stdin:
    order = json.loads(line)
    reply = filters(order["filters"]) if "filters" in order else make(order["calls"], order["endpoint"])
    print(json.dumps(reply, default=plain), flush=True)
