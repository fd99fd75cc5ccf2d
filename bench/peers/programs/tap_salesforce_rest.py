"""tap-salesforce by its REST way, its messages on standard output; signed in beforehand.

argv: the work, then `discover` or the tap's own arguments. The Bulk way looks at a job every 20 s.
"""

import json
import sys
from pathlib import Path

import tap_salesforce
from tap_salesforce.salesforce import Salesforce

work = json.loads(Path(sys.argv[1]).read_text())
describe = Salesforce.describe


def sign_in(sf):
    sf.access_token, sf.instance_url = work["token"], work["url"]
    sf.login_timer = type("Timer", (), {"cancel": lambda self: None})()


def chosen(sf, sobject=None):
    return describe(sf, sobject) if sobject else {"sobjects": [{"name": name} for name in work["objects"]]}


Salesforce.login = sign_in
Salesforce.describe = chosen
sys.argv = ["tap-salesforce", *sys.argv[2:]]
tap_salesforce.main()
