// The vendor's Node client over every operation. Reads the steps from standard input, one JSON line each, and prints
// the answer to each as one JSON line.
const { default: smtp2go } = require("smtp2go-nodejs");
const readline = require("node:readline");

const [, , base, key] = process.argv;
const api = smtp2go(key);
const client = api.client();
client.apiUrl = `${base}/v3/`;

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { method, path, request } = JSON.parse(line);
    const service = api.service(path.slice(1));
    service.method = method;
    service.requestBody = new Map(Object.entries(request));
    try {
      console.log(JSON.stringify({ answer: await client.consume(service) }));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error), data: error.response && error.response.data }));
    }
  }
}

main();
