"""Performs the node type text.count_words for Weft, with nothing but Python's standard library."""
import collections, json, os, re, sys, threading, time, urllib.error, urllib.request

URL = os.environ.get("WEFT_URL", "http://127.0.0.1:7400")
KEY = os.environ["WEFT_API_KEY"]
WORKER = f"python-{os.getpid()}"
TYPE = {
    "type": "text.count_words",
    "title": "Count words",
    "effect": "pure",
    "config": {"type": "object", "properties": {"text": {"type": "string"}, "seconds": {"type": "number"}}},
    "output": {"type": "object", "properties": {"words": {"type": "integer"}, "most": {"type": "string"}}},
}


def call(path, body):
    request = urllib.request.Request(f"{URL}/api/v1{path}", json.dumps(body).encode(), method="POST")
    request.add_header("Authorization", f"Bearer {KEY}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)


def perform(config, aborted):
    if aborted.wait(config.get("seconds", 0)):
        raise InterruptedError("told to stop")
    words = re.findall(r"\w+", config["text"].lower())
    most = collections.Counter(words).most_common(1)
    return {"words": len(words), "most": most[0][0] if most else ""}


def work(task, lease):
    done, aborted = threading.Event(), threading.Event()
    name = {"worker": WORKER, "task": task["id"]}

    def beat():
        while not done.wait(lease / 3):
            answer = call("/tasks/heartbeat", {"worker": WORKER, "tasks": [task["id"]]})
            if answer["abort"] or answer["lost"]:
                aborted.set()

    threading.Thread(target=beat, daemon=True).start()
    try:
        output = perform(task["config"], aborted)
    except Exception as error:
        call("/tasks/fail", {**name, "error": {"message": repr(error), "retryable": not aborted.is_set()}})
    else:
        call("/tasks/complete", {**name, "output": output})
    finally:
        done.set()


call("/node-types", {"types": [TYPE]})
while True:
    try:
        claim = call("/tasks/claim", {"worker": WORKER, "types": [TYPE["type"]]})
        for task in claim["tasks"]:
            print("claimed", task["id"], flush=True)
            work(task, claim["leaseMs"] / 1000)
    except (urllib.error.URLError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        time.sleep(1)
