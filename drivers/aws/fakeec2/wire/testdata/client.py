"""Makes calls with botocore, which is what aws-cli is made of, and tells what it read.

stdin: a JSON list of {"service", "operation", "params"} and the endpoint as the first argument. stdout: a JSON list of
{"result" or "code" and "status", "unknown"}. "unknown" are elements of the answer that the service's model does not have.
A call with "endpoint" goes there instead, and one with "as" is made with the credentials that the call of that number got from AssumeRole.
"""
import datetime
import json
import sys
import xml.etree.ElementTree as etree

try:
    import botocore.session as session
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError:  # newer releases of aws-cli bring a copy
    import awscli.botocore.session as session
    from awscli.botocore.config import Config
    from awscli.botocore.exceptions import ClientError


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


def main():
    endpoint, calls = sys.argv[1], json.load(sys.stdin)
    made = session.get_session()
    clients, answers = {}, []
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=True)
    for call in calls:
        service, role, to = call["service"], call.get("as"), call.get("endpoint") or endpoint
        if (service, role, to) not in clients:
            given = {}
            if role is not None:
                role_keys = answers[role]["result"]["Credentials"]
                given = {
                    "aws_access_key_id": role_keys["AccessKeyId"],
                    "aws_secret_access_key": role_keys["SecretAccessKey"],
                    "aws_session_token": role_keys["SessionToken"],
                }
            clients[service, role, to] = made.create_client(service, endpoint_url=to, config=config, **given)
        client, seen = clients[service, role, to], []
        model = client.meta.service_model.operation_model(call["operation"])
        keep = lambda response_dict, **_: seen.append(response_dict)
        client.meta.events.register("before-parse", keep)
        answer = {}
        try:
            result = client._make_api_call(call["operation"], call.get("params") or {})
            result.pop("ResponseMetadata")
            answer["result"] = result
            answer["unknown"] = inspect(model, seen[-1])
        except ClientError as e:
            answer["code"] = e.response["Error"]["Code"]
            answer["message"] = e.response["Error"].get("Message", "")
            answer["status"] = e.response["ResponseMetadata"]["HTTPStatusCode"]
            answer["request_id"] = e.response["ResponseMetadata"].get("RequestId", "")
        finally:
            client.meta.events.unregister("before-parse", keep)
        answers.append(answer)
    json.dump(answers, sys.stdout, default=plain)


main()
