// The README's program is what people paste first.
import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..");
const readme = await Bun.file(join(root, "README.md")).text();

test("the README's first program runs as it is and prints the file it reads", async () => {
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(program).toBeDefined();
  // Inside the project, so that the package finds itself by its name.
  const file = join(import.meta.dir, `pasted-${process.pid}.ts`);
  writeFileSync(file, program as string);
  try {
    const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "pipe", cwd: root });
    const [out, err, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect(err).toBe("");
    expect(status).toBe(0);
    expect(out).toBe(`7 ${(await Bun.file("/etc/os-release").text()).slice(0, 4096)}\n`);
  } finally {
    rmSync(file);
  }
});

test("every file that the README and docs link to exists", async () => {
  const pages = ["README.md", ...new Bun.Glob("docs/*.md").scanSync(root)];
  const broken: string[] = [];
  let links = 0;
  for (const page of pages) {
    const text = await Bun.file(join(root, page)).text();
    for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      links++;
      if (!(await Bun.file(join(root, page, "..", target)).exists())) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
  expect(links).toBeGreaterThan(3);
});
