import { start } from "./console.js";
import { openScreen } from "./screen.js";

start(openScreen);
