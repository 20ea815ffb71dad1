"""Tells the filters that EC2 documents for its actions, as {action: [names]}."""
import json
import re
import sys

try:
    import botocore.session as session
except ImportError:  # newer releases of aws-cli bring a copy
    import awscli.botocore.session as session

model = session.get_session().get_service_model("ec2")
found = {}
for action in sys.argv[1:]:
    members = model.operation_model(action).input_shape.members
    text = (members.get("Filters") or members["Filter"]).documentation
    names = re.findall(r"<li> ?<p> ?<code>([^<]+)</code>", text)
    # Names of tags stand as "tag:&lt;key&gt;", or as "tag" with the key in other letters behind.
    found[action] = ["tag:" if re.match("tag(:|$)", n) else n for n in names]
json.dump(found, sys.stdout)
