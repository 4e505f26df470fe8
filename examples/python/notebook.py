"""Without async, as in a notebook. Set ANTHROPIC_API_KEY."""

import os

from devbox_gateway import DevboxGateway

client = DevboxGateway()
gateway = client.gateway_configs.create(
    name="anthropic", endpoint="https://api.anthropic.com", auth_mechanism={"type": "bearer"}
)
client.secrets.create(name="ANTHROPIC_API_KEY", value=os.environ["ANTHROPIC_API_KEY"])
devbox = client.devboxes.create(
    name="notebook", gateways={"ANTHROPIC": {"gateway": gateway.id, "secret": "ANTHROPIC_API_KEY"}}, progress=print
)
try:
    devbox.file.write(file_path="hello.py", contents='print("hello from a file")\n')
    devbox.cmd.exec("python3 hello.py", stdout=print)
    call = 'curl --silent "$ANTHROPIC_URL/v1/models" --header "Authorization: Bearer $ANTHROPIC"'
    print(devbox.cmd.exec(f'{call} --header "anthropic-version: 2023-06-01"').stdout())
finally:
    devbox.shutdown()
    client.close()
