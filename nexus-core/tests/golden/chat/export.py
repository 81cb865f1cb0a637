"""Renders chat templates with transformers' own Jinja environment into chat.json.

Run with transformers 5.23.0 and jinja2 3.1.6: python export.py
The templates are written for this test in the style of published ones. A case holds the template,
the conversation, the rendered text, and for templates with generation blocks the trained ranges.
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    "chatml": """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "llama3": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{#- The system message is always there. -#}
{%- if messages[0].role == 'system' %}
    {%- set system_message = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "mistral": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "tools": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n" + (tools | tojson(indent=2)) + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" and message.tool_calls %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson(sort_keys=True, separators=(',', ':')) }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content | default('', true)) + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
{%- set data = {"f": 1e-05, "g": 1e16, "h": 1.0, "t": true, "n": none, "l": [1, "it's", 'é<&>']} %}
{{- data | tojson }}|{{ data }}|{{ true }}|{{ none }}|{{ 1.5 }}|{{ 'é' | tojson(ensure_ascii=true) }}
{{ data.l | tojson(indent=4) }} {{ {} | tojson(indent=2) }} {{ [] | tojson }}
""",
    "generation": """{{- bos_token }}
{%- for message in messages %}
    {%- set role = message.role %}
    {%- if role == 'assistant' %}
<|{{ role }}|>
        {% generation %}
            {%- set said = message.content | trim %}
            {%- if not loop.first %}{{ said }}{% endif %}
            {%- for word in said.split() %}{% if loop.index > 2 %}{% break %}{% endif %}{{ ' ' ~ loop.index ~ word[0] }}{% endfor %}
{{ eos_token }}
        {%- endgeneration %}{{ 'leaks' if said is defined else '' }}
    {%- else %}
<|{{ role }}|>
{{ message.content }}
    {%- endif %}

  {%- if loop.last %}{{ ' end ' ~ loop.index }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}
<|assistant|>
{% endif %}""",
    "namespace": """{%- set ns = namespace(turn=0, system='', found=false) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.system = message['content'] -%}
        {%- continue -%}
    {%- endif -%}
    {%- set ns.turn = ns.turn + 1 -%}
    {%- if ns.turn > 6 %}{% break %}{% endif -%}
    {%- set parts = message['content'].split('</think>') -%}
    {{- loop.index }}/{{ loop.length }} {{ ns.turn }} {{ message['role'].upper() | title }}: {{ parts[-1].lstrip('\\n').rstrip() }}
    {%- if loop.previtem is defined %} after {{ loop.previtem.role }}{% endif %}
    {%- if loop.nextitem is defined %} before {{ loop.nextitem.role }}{% endif %}
    {%- if message['content'].startswith('Hi') and not message['content'].endswith('x') %} greets{% endif %}
    {%- for key, value in message.items() | sort %} {{ key }}={{ value | length }}{% endfor %}
    {{- '\\n' }}
{%- endfor -%}
{%- for message in messages[::-1] %}{{ message.role[0] }}{% endfor %}
{%- macro shout(text, mark='!') %}{{ text | upper ~ mark }}{% endmacro %}
{{ shout('done') }} {{ shout('x', mark='?') }} {{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ 'sys: ' ~ ns.system if ns.system else 'no system' }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 'a' in 'abc' }} {{ '%s-%d' | format('a', 3) }}
{{ (messages | last).content.replace('o', '0')[:5] }} {{ range(3) | list }} {{ "x" * 3 }} {{ undefined_name }}{{ messages[0].absent }}|
""",
}

CHATS = {
    "short": [{"role": "user", "content": "Hi there"}],
    "turns": [
        {"role": "user", "content": "  Hi <b>you</b> & 'me'\n"},
        {"role": "assistant", "content": " Hello! \u00e9\U0001f999 "},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nNothing."},
    ],
    "system": [
        {"role": "system", "content": "Be terse. "},
        {"role": "user", "content": "One\n\ntwo"},
        {"role": "assistant", "content": "Three"},
        {"role": "user", "content": "Four"},
    ],
}

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Says <the> \"weather\" & more", "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1}}, "required": ["city"]}}}]
CALLS = [
    {"role": "user", "content": "Weather in K\u00f6ln?"},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"days": 2, "city": "K\u00f6ln"}}}]},
    {"role": "tool", "content": "{\"rain\": true}"},
    {"role": "assistant", "content": "Rain."},
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def main():
    cases = []
    for name, template in TEMPLATES.items():
        chats = dict(CHATS)
        if name in ("tools", "llama3"):
            chats["calls"] = CALLS
        for chat_name, messages in chats.items():
            if name == "mistral" and chat_name == "system":
                continue
            tools = TOOLS if chat_name == "calls" else None
            for prompt in (False, True):
                marked = "{% generation %}" in template
                text, spans = render_jinja_template(
                    [messages], tools=tools, chat_template=template, add_generation_prompt=prompt,
                    return_assistant_tokens_mask=marked, **SPECIAL,
                )
                case = {"template": name, "chat": chat_name, "prompt": prompt, "text": text[0]}
                if marked:
                    case["trained"] = [text[0][a:b] for a, b in spans[0]]
                cases.append(case)
    golden = {"special": SPECIAL, "templates": TEMPLATES, "tools": TOOLS,
              "chats": {**CHATS, "calls": CALLS}, "cases": cases}
    path = Path(__file__).with_name("chat.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


main()
