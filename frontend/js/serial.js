import { start } from "./console.js";
import { openTerminal } from "./terminal.js";

start(openTerminal);
