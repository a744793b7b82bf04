"""Every operation of the API once, in an order that makes sense: method, path and request."""

import base64

MIME = "From: a@example.com\r\nTo: b@example.org\r\nSubject: mime\r\n\r\nbody\r\n"
MAIL = {"sender": "a@example.com", "to": ["b@example.org"], "subject": "hello", "text_body": "x"}
NUMBER = "+15555550100"


def steps(schedule):
    """`schedule` is a time in the near future. `{key}` and the like stand for members of earlier answers."""
    user, domain = {"username": "walker1"}, {"domain": "walk.example.net"}
    address, template = {"ip_address": "192.0.2.7"}, {"id": "receipt"}
    post = [
        ("/email/send", MAIL),
        ("/email/mime", {"mime_email": base64.b64encode(MIME.encode()).decode()}),
        ("/email/batch", {"emails": [MAIL, {**MAIL, "schedule": schedule}]}),
        ("/email/scheduled/search", {}),
        ("/email/scheduled/remove", {"schedule_id": "{schedule_id}"}),
        ("/email/search", {}),
        ("/activity/search", {"limit": 2}),
        ("/allowed_senders/view", {}),
        ("/allowed_senders/add", {"allowed_senders": ["example.com"]}),
        ("/allowed_senders/update", {"allowed_senders": ["example.com"], "mode": "disabled"}),
        ("/allowed_senders/remove", {"allowed_senders": ["example.com"]}),
        ("/allowed_recipients/view", {}),
        ("/allowed_recipients/add", {"allowed_recipients": ["example.org"]}),
        ("/allowed_recipients/update", {"allowed_recipients": ["example.org"], "enabled": False}),
        ("/allowed_recipients/remove", {"allowed_recipients": ["example.org"]}),
        ("/users/smtp/add", {**user, "email_password": "not-a-real-secret"}),
        ("/users/smtp/view", {}),
        ("/users/smtp/edit", {**user, "description": "walks"}),
        ("PATCH /users/smtp/edit", {**user, "status": "blocked"}),
        ("/users/smtp/remove", user),
        ("/domain/add", domain),
        ("/domain/view", {}),
        ("/domain/verify", domain),
        ("/domain/tracking", {**domain, "old_subdomain": "link", "new_subdomain": "go"}),
        ("/domain/returnpath", {**domain, "old_subdomain": "em100001", "new_subdomain": "em2"}),
        ("/domain/subaccount_access", {**domain, "subaccounts": ["s1"]}),
        ("/domain/remove", domain),
        ("/single_sender_emails/add", {"email_address": "one@elsewhere.invalid"}),
        ("/single_sender_emails/view", {}),
        ("/single_sender_emails/remove", {"email_address": "one@elsewhere.invalid"}),
        ("/stats/email_bounces", {}),
        ("/stats/email_cycle", {}),
        ("/stats/email_history", {"group_by": "domain"}),
        ("/stats/email_spam", {}),
        ("/stats/email_unsubs", {}),
        ("/stats/email_summary", {}),
        ("/archive/search", {}),
        ("/archive/email", {"email_id": "{email_id}"}),
        ("/subaccount/add", {"fullname": "Branch", "subaccount_email": "branch@example.com"}),
        ("/subaccounts/search", {}),
        ("/subaccount/edit", {"id": "{subaccount}", "fullname": "Branch 2"}),
        ("/subaccount/close", {"id": "{subaccount}"}),
        ("/subaccount/reopen", {"id": "{subaccount}"}),
        ("/subaccount/reinvite", {"email": "branch@example.com"}),
        ("/subaccounts/usage", {}),
        ("/subaccount/subaccountsmsusage", {}),
        ("/suppression/add", {"email_address": "gone@example.org", "block_description": "left"}),
        ("/suppression/view", {}),
        ("/suppression/remove", {"email_address": "gone@example.org", "reasons": ["manual"]}),
        ("/ip_allow_list", {"enabled": False, "type": "smtp"}),
        ("/ip_allow_list/add", {**address, "description": "office"}),
        ("/ip_allow_list/view", {}),
        ("/ip_allow_list/edit", {**address, "description": "cellar"}),
        ("/ip_allow_list/remove", address),
        ("PATCH /ip_auth/edit", {**address, "description": "printer"}),
        ("/ip_auth/view", {}),
        ("/ip_auth/remove", address),
        ("/dedicated_ips/view", {}),
        ("/template/add", {**template, "template_name": "Receipt", "subject": "Hi", "html_body": "<b>", "text_body": "b"}),
        ("/template/edit", {**template, "subject": "Hello"}),
        ("/template/search", {}),
        ("/template/view", template),
        ("/template/delete", template),
        ("/webhook/add", {"url": "http://127.0.0.1:1/hook", "events": ["bounce"]}),
        ("/webhook/edit", {"id": "{webhook}", "output_format": "json"}),
        ("/webhook/view", {}),
        ("/webhook/remove", {"id": "{webhook}"}),
        ("/api_keys/permissions", {}),
        ("/api_keys/add", {"description": "walker", "endpoints": ["/email/*"]}),
        ("/api_keys/view", {}),
        ("/api_keys/edit", {"id": "{key}", "description": "walks"}),
        ("PATCH /api_keys/edit", {"id": "{key}", "status": "blocked"}),
        ("/api_keys/remove", {"id": "{key}"}),
        ("/sms/send", {"destination": [NUMBER], "content": "hello"}),
        ("/sms/view-sent", {}),
        ("/sms/view-received", {}),
        ("/sms/summary", {}),
        ("GET /api/index", {}),
    ]
    for step, request in post:
        method, _, path = step.rpartition(" ")
        yield method or "POST", path, request


def remember(known, path, data):
    """Takes from an answer what later requests need."""
    if path == "/email/batch":
        known["schedule_id"] = data[1]["schedule_id"]
    elif path == "/email/send":
        known["email_id"] = data["email_id"]
    elif path == "/subaccount/add":
        known["subaccount"] = data["id"]
    elif path == "/webhook/add":
        known["webhook"] = data["id"]
    elif path == "/api_keys/add":
        known["key"] = data[0]["api_key"]


def filled(request, known):
    def fill(value):
        is_name = isinstance(value, str) and value.startswith("{")
        return known[value.strip("{}")] if is_name else value

    return {name: fill(value) for name, value in request.items()}
